-- Content that was written again without a person's data: what its digest stood for is under another digest now, or (empty) no more.
create table superseded(
  before text primary key,
  after text not null);
create index superseded_after on superseded(after);
