-- Rows of other stores' ledgers that were merged into this one, by their hash; and ids of theirs that mean a node which was here already.
create table adopted(
  hash text primary key,
  origin text not null,
  seq bigint not null);
create table stands_for(
  id text primary key,
  node integer not null);
