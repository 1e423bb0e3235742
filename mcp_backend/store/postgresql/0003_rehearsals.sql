-- What a replica rehearsed, for the others: `decided` is what a guard judges (empty where nothing is decided by it),
-- `report` the whole.
create table rehearsal (
  digest text primary key,
  at_version text not null,
  decided text not null,
  report text not null,
  at timestamptz not null
);
create index rehearsal_at on rehearsal (at);
