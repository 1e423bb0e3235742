export const App = () => <h1>Orders</h1>;
