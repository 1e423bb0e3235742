-- migrate:up
create table orders (
  id text primary key,
  customer text not null,
  total_cents bigint not null check (total_cents >= 0),
  created_at timestamptz not null default now()
);
create index orders_customer_created_at on orders (customer, created_at);
comment on table orders is 'One row per accepted order; id is the client''s idempotency key';

-- migrate:down
drop table orders;
