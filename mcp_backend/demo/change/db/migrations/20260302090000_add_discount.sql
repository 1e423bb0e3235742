-- migrate:up
alter table orders add column discount_percent smallint not null default 0
  check (discount_percent between 0 and 100);

-- migrate:down
alter table orders drop column discount_percent;
