-- Nodes whose state, parameters, tags or metrics changed, numbered in the order of the changes: what is kept in memory of many runs is
-- brought up to date by reading again only those that came after the number it knows.
create table touched(
  node integer primary key,
  seq bigint not null);
create index touched_seq on touched(seq);

-- What someone made and did, without reading what everyone did.
create index node_actor on node(actor, pk);
create index event_actor on event(actor, seq);
