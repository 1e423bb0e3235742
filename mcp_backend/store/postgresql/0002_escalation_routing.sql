-- Who is asked next and when, what a question quotes, what a person asked back, and how late it is.
alter table escalation add column chain text not null default '[]';
alter table escalation add column asked text not null default '[]';
alter table escalation add column escalate_every double precision not null default 0;
alter table escalation add column escalate_at double precision;
alter table escalation add column quotes text not null default '';
alter table escalation add column awaits text not null default '';
alter table escalation_event add column note text not null default '';
alter table approval add column record bigint not null default 0;
alter table audit_head add column at double precision not null default 0;
create table delivery (id text primary key, at double precision not null);
