export const App = () => <h1>Orders, now with discounts!</h1>;
