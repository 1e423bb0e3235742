create table audit (
  seq bigint primary key,
  record text not null,
  hash text not null
);
create table audit_head (one integer primary key check (one = 1), seq bigint not null, hash text not null);
create table running (call text primary key, instance text not null, tool text not null, what text not null);
create table escalation (
  id text primary key,
  kind text not null,
  title text not null,
  question text not null,
  details text not null,
  blocking boolean not null,
  digest text not null,
  at_version text not null,
  tool text not null,
  constraint_id text not null,
  status text not null,
  assignee text not null,
  asker text not null,
  opened double precision not null,
  expires double precision not null,
  answer text,
  answered_by text,
  channel text,
  decided double precision,
  seen integer not null default 0
);
create index escalation_digest on escalation (digest);
create index escalation_unseen on escalation (decided) where seen = 0;
create table escalation_event (
  seq bigint generated always as identity primary key,
  escalation text not null references escalation (id),
  at double precision not null,
  event text not null,
  actor text not null,
  channel text not null
);
create index escalation_event_escalation on escalation_event (escalation);
create table approval (
  id text primary key,
  escalation text not null references escalation (id),
  digest text not null,
  at_version text not null,
  approver text not null,
  channel text not null,
  granted double precision not null,
  expires double precision not null,
  spent double precision
);
create index approval_digest on approval (digest);
create index approval_escalation on approval (escalation);
create table receipt (
  id text primary key,
  tree text not null,
  command text not null,
  passed integer not null,
  body text not null,
  mac text not null,
  created double precision not null,
  rowid bigint generated always as identity
);
create index receipt_created on receipt (created);

-- What SQLite's machine has by itself: locks that end with a process, a key in a file, counters in memory.
create table instance (id text primary key, seen timestamptz not null);
create table secret (name text primary key, value bytea not null);
create table rate (principal text primary key, tokens double precision not null, at timestamptz not null);

create function told() returns trigger language plpgsql as $$
begin
  perform pg_notify(tg_table_schema, '');
  return null;
end
$$;
create trigger told after insert or update on escalation for each row execute function told();
