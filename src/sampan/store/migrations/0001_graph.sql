-- The lineage graph, the ledger and what runs recorded. The same text runs on SQLite >= 3.37 and PostgreSQL >= 14.
-- `pk` is internal and compact, given in ledger order by the one writer; `id` is public. Moments are unix milliseconds.
-- Kinds, roles and states are plain words, so a plug-in brings new ones without a migration. `facts`, `body`, `changes`, `outcome` are JSON.
-- SQLite reads `bytea` as a column without conversion and `double precision` as a float, which is what is meant.

create table meta(
  key text primary key,
  value text not null);

-- What happened. Every other table of this part is a projection of it.
create table event(
  seq integer primary key,
  at bigint not null,
  actor text not null,
  type text not null,
  subject text not null,
  body text not null,
  changes text not null,
  reason text not null,
  prev text not null,
  hash text not null);
create index event_subject on event(subject, seq);
create index event_type on event(type, seq);

-- Named things that have versions.
create table asset(
  pk integer primary key,
  kind text not null,
  name text not null,
  state text not null,
  created bigint not null,
  n_versions integer not null,
  facts text not null,
  unique(kind, name));
create index asset_name on asset(name);

-- Every version, run, deployment, window, decision, incident.
create table node(
  pk integer primary key,
  id text not null unique,
  asset integer,
  kind text not null,
  version integer,
  digest text not null,
  state text not null,
  created bigint not null,
  actor text not null,
  size bigint not null,
  facts text not null,
  unique(asset, version));
create index node_asset on node(asset, pk);
create index node_kind on node(kind, pk);
create index node_digest on node(digest);

-- src was needed for dst.
create table edge(
  dst integer not null,
  src integer not null,
  role text not null,
  primary key(dst, src, role));
create index edge_src on edge(src, dst);

create table alias(
  asset integer not null,
  name text not null,
  node integer not null,
  updated bigint not null,
  primary key(asset, name));
create index alias_node on alias(node);

-- Interned names of parameters, tags and observed series.
create table key(
  pk integer primary key,
  name text not null unique);

create table tag(
  node integer not null,
  key integer not null,
  value text not null,
  primary key(node, key));
create index tag_value on tag(key, value, node);

create table artifact(
  node integer not null,
  path text not null,
  digest text not null,
  size bigint not null,
  primary key(node, path));

-- A null value is "not defined at that moment".
create table observation(
  node integer not null,
  key integer not null,
  at bigint not null,
  value double precision,
  n bigint not null,
  primary key(node, key, at));

create table run(
  node integer primary key,
  experiment text not null,
  title text not null,
  started bigint not null,
  ended bigint,
  parent integer,
  source text not null,
  host text not null,
  pid bigint not null);
create index run_experiment on run(experiment, node);
create index run_parent on run(parent);

create table run_param(
  key integer not null,
  run integer not null,
  value text not null,
  primary key(run, key));

-- Committed outcomes of steps by cache key.
create table step(
  key text primary key,
  token bigint not null,
  name text not null,
  outcome text not null,
  at bigint not null);

-- Metric points, folded from the runs' journals: measurements, not history, so they are not in the ledger.
create table metric_key(
  pk integer primary key,
  name text not null unique);

-- last, min, max: null stands for NaN, which SQLite cannot hold.
create table run_metric(
  key integer not null,
  run integer not null,
  last double precision,
  last_step bigint not null,
  last_at bigint not null,
  min double precision,
  max double precision,
  n bigint not null,
  primary key(run, key));
create index run_metric_last on run_metric(key, last, run);

create table metric_chunk(
  run integer not null,
  key integer not null,
  seq integer not null,
  n integer not null,
  codec integer not null,
  data bytea not null,
  primary key(run, key, seq));

-- How many bytes of a journal are folded; advanced in the same transaction as the points.
create table journal(
  name text primary key,
  run integer not null,
  folded bigint not null);

-- Liveness: who is at work on a step, and how far a consumer has read. Losing these loses no history.
create table claim(
  key text primary key,
  token bigint not null,
  step text not null,
  owner text not null,
  until bigint not null);

create table outbox(
  consumer text primary key,
  seq bigint not null);
