//! A database with everything that is hard to carry over: names that want quotes, large objects, roles, extensions,
//! inheritance, partitions, and rows whose text depends on settings.

use serde_json::Value;

use super::bench::Site;

const NAME: &str = "Ops \"Größe\" %d";

const CONTENTS: &str = r#"
create role "Own er" login; create role "-reader"; create role "unrelated";
alter database "Ops ""Größe"" %d" owner to "Own er";
grant connect on database "Ops ""Größe"" %d" to "-reader" with grant option;
revoke temporary on database "Ops ""Größe"" %d" from public;
alter database "Ops ""Größe"" %d" set search_path = "$user", "Sch ema", public;
alter database "Ops ""Größe"" %d" set statement_timeout = '77s';
alter role "Own er" in database "Ops ""Größe"" %d" set work_mem = '5MB';
comment on database "Ops ""Größe"" %d" is 'It''s "ours"';
create extension citext; create extension hstore;
create schema "Sch ema"; create schema "-x";
create type "Sch ema".mood as enum ('sad', 'it''s ok');
create domain "Sch ema".positive as int check (value > 0);
create table "Sch ema"."Tab""le; drop" (
  "Id" int generated always as identity primary key, "a b" text, "-c" "Sch ema".mood, "%d" citext, "l
f" hstore, n "Sch ema".positive, doubled int generated always as (n * 2) stored);
insert into "Sch ema"."Tab""le; drop" ("a b", "-c", "%d", "l
f", n)
  select 'row ' || i || E' \u00fc\n\t\\ ''"', 'it''s ok', 'CaSe', hstore('k', i::text), i from generate_series(1, 500) i;
create table "-x"."--dash" (f float8, r real, i interval, d timestamptz, m money, b bytea, nm numeric, j jsonb, a int[]);
insert into "-x"."--dash" select i / 3.0, i / 7.0, make_interval(mins => i), '2026-10-25 02:30+02'::timestamptz
  + make_interval(hours => i), i::money, decode(lpad(to_hex(i), 8, '0'), 'hex'), i / 9.0, jsonb_build_object('i', i),
  array[i, null] from generate_series(1, 300) i;
insert into "-x"."--dash" values ('NaN', 'infinity', null, 'infinity', null, '', 'NaN', 'null', '{}');
create table "数据" ("列" text) ; insert into "数据" values (''), (null), (repeat('长', 5000));
create table nothing ();  insert into nothing default values;
create table parent (a int); create table child (z text) inherits (parent);
alter table parent add column later int; insert into child values (1, 'z', 2); insert into parent values (3, 4);
create table part (at date, v int) partition by range (at);
create table part_1 partition of part for values from ('2026-01-01') to ('2026-07-01');
create table part_2 (v int, at date); alter table part attach partition part_2 for values from ('2026-07-01') to ('2027-01-01');
insert into part select date '2026-01-01' + i, i from generate_series(0, 300) i;
create index on part (v); create unlogged table unlogged (n int); insert into unlogged values (1);
create table guarded (who text, n int); alter table guarded enable row level security;
create policy "own rows" on guarded to "-reader" using (who = current_user); insert into guarded values ('x', 1);
grant select on "-x"."--dash" to "-reader"; alter table "Sch ema"."Tab""le; drop" owner to "Own er";
create sequence "Down" increment -3 start -5; select nextval('"Down"'), nextval('"Down"');
create sequence "Fresh"; create view "V iew" as select "Id" from "Sch ema"."Tab""le; drop";
create materialized view mat as select count(*) from part; create rule r as on update to nothing do instead nothing;
create function "f(" () returns trigger language plpgsql as $$ begin return new; end $$;
create trigger "t r" before insert on parent for each row execute function "f(" ();
create publication p for table parent;
select lo_from_bytea(70001, decode(repeat('00ff', 700000), 'hex')), lo_from_bytea(70002, ''), lo_from_bytea(70003, 'x');
alter large object 70003 owner to "Own er";
do $$ declare fd int; begin fd := lo_open(lo_create(70004), 131072); perform lo_lseek(fd, 5000000, 0);
  perform lowrite(fd, 'after a hole'); perform lo_close(fd); end $$;
"#;

async fn made(site: &Site) {
    site.run("postgres", "create database \"Ops \"\"Größe\"\" %d\"").await;
    site.run(NAME, CONTENTS).await;
}

/// A child table gets its columns in another order when it is restored, whoever restores it.
fn everything(site: &Site, database: &str) -> String {
    let of_child = |line: &&str| {
        line.starts_with("COPY public.child") || ["1\tz\t2", "1\t2\tz"].contains(line)
    };
    let all = site.everything(database);
    all.lines().filter(|line| !of_child(line)).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn everything_comes_back_to_the_bit() {
    let site = Site::new();
    made(&site).await;
    let before = everything(&site, NAME);
    let made = site.done(&["backup", "now", "--database", NAME, "--name", "strange"]);
    assert_eq!(made["verified"]["level"], 3, "the first is restored for proof: {made:#}");
    assert!(made["unhashed"].as_array().unwrap().is_empty());
    let contents = &made["manifest"]["contents"];
    assert_eq!(contents["large_objects"]["count"], 4);
    let tables = contents["tables"].as_array().unwrap();
    assert!(tables.iter().all(|table| table["hash"].is_string()), "{tables:#?}");
    assert!(site.ours().await.is_empty(), "the scratch database is gone");
    let restored = site.done(&["restore", "strange", "--yes"]);
    let copy = restored["restored_as"].as_str().unwrap().to_owned();
    assert_eq!(
        (everything(&site, &copy), restored["swapped"].clone()),
        (before.clone(), Value::Bool(false))
    );
    assert_eq!(settings(&site, &copy).await, settings(&site, NAME).await);
    let child = "select string_agg(concat_ws('/', a, later, z), ',') from only child";
    assert_eq!(site.one(&copy, child).await, "1/2/z");
}

#[tokio::test]
async fn it_takes_the_place_and_gives_it_back() {
    let site = Site::new();
    made(&site).await;
    let before = everything(&site, NAME);
    let facts = settings(&site, NAME).await;
    site.done(&["backup", "now", "--database", NAME, "--name", "strange", "--verify", "2"]);
    site.run(NAME, "delete from \"数据\"; drop table child; create table newer (n int)").await;
    let changed = everything(&site, NAME);
    let kept_in = site.session(NAME).await;
    let swapped = site.done(&["restore", "strange", "--swap", "--yes"]);
    assert_eq!((everything(&site, NAME), settings(&site, NAME).await), (before.clone(), facts));
    let kept = swapped["kept_as"].as_str().unwrap();
    assert_eq!(everything(&site, kept), changed, "what was there is kept");
    assert!(kept_in.simple_query("select 1").await.is_err(), "its clients were cut off");
    assert_eq!(site.one(NAME, "select shobj_description(oid, 'pg_database') from pg_database where datname = current_database()").await, "It's \"ours\"");
    let back = site.done(&["restore", "--undo", NAME, "--yes"]);
    assert_eq!(everything(&site, NAME), changed);
    assert_eq!(everything(&site, back["restored_as"].as_str().unwrap()), before);
    let again = site.done(&["restore", "strange", "--swap", "--yes"]);
    let kept = again["kept_as"].as_str().unwrap();
    assert!(site.ours().await.contains(&kept.to_owned()));
    site.done(&["restore", "--drop-kept", kept, "--yes"]);
    assert!(!site.ours().await.contains(&kept.to_owned()));
    assert_eq!(everything(&site, NAME), before);
}

/// What belongs to the database and is in no dump.
async fn settings(site: &Site, database: &str) -> String {
    let sql = "select json_build_array(pg_get_userbyid(d.datdba), (select array_agg(acl::text order by acl::text) from unnest(d.datacl) acl), d.datcollate, d.datctype, d.datconnlimit,
        pg_encoding_to_char(d.encoding), (select array_agg(concat(setrole::regrole, s.setconfig) order by setrole)
          from pg_db_role_setting s where s.setdatabase = d.oid))
      from pg_database d where d.datname = current_database()";
    site.one(database, sql).await
}
