create table audit (
  seq integer primary key,
  record text not null,
  hash text not null
);
create table audit_head (one integer primary key check (one = 1), seq integer not null, hash text not null);
create table running (call text primary key, instance text not null, tool text not null, what text not null);
create table escalation (
  id text primary key,
  kind text not null,
  title text not null,
  question text not null,
  details text not null,
  blocking integer not null,
  digest text not null,
  at_version text not null,
  tool text not null,
  constraint_id text not null,
  status text not null,
  assignee text not null,
  asker text not null,
  opened real not null,
  expires real not null,
  answer text,
  answered_by text,
  channel text,
  decided real,
  seen integer not null default 0
);
create index escalation_digest on escalation (digest);
create index escalation_unseen on escalation (decided) where seen = 0;
create table escalation_event (
  seq integer primary key,
  escalation text not null references escalation (id),
  at real not null,
  event text not null,
  actor text not null,
  channel text not null
);
create table approval (
  id text primary key,
  escalation text not null references escalation (id),
  digest text not null,
  at_version text not null,
  approver text not null,
  channel text not null,
  granted real not null,
  expires real not null,
  spent real
);
create index approval_digest on approval (digest);
create table receipt (
  id text primary key,
  tree text not null,
  command text not null,
  passed integer not null,
  body text not null,
  mac text not null,
  created real not null
);
create index receipt_created on receipt (created);
