//! The page that shows the databases is made from the databases: it and they cannot differ.
//!
//! `WRITE=1 cargo test -p store --test schema_page` writes it anew.

#[allow(unreachable_pub, reason = "the modules of one test")]
mod ground;

use std::fmt::Write as _;
use std::path::Path;

use rusqlite::Connection;
use store::{Accounts, MysqlWriter, Options, Writer};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/SCHEMA.md");

/// What refers to what without the database knowing: an index that lags behind, as these may, cannot be a foreign key.
const REFERENCES: &[(&str, &str, &str, &str)] = &[
    ("messages", "messages.conversation", "conversations.id", "is said in"),
    ("messages", "messages.sender", "accounts.user_id", "is said by"),
    ("messages", "places.conversation", "conversations.id", "orders"),
    ("messages", "places.message", "messages.id", "finds by seq"),
    ("messages", "retries.message", "messages.id", "finds by client message id"),
    ("mysql", "profiles.user_id", "accounts.user_id", "is of"),
    ("mysql", "messages.conversation", "conversations.id", "is said in"),
    ("mysql", "messages.sender", "accounts.user_id", "is said by"),
    ("mysql", "retries.conversation", "conversations.id", "finds by client message id"),
    ("mysql", "group_members.group_id", "chat_groups.id", "is in"),
];

/// What the other backend does with the names that only one of them has.
const DIFFERENCES: &[(&str, &str)] = &[
    ("places", "messages lie by conversation and `seq` there, so none is needed to find them"),
    ("ringline_migrations", "in a file its header has the version"),
    ("conversations.head", "raised under a lock of the row; in a file the last place says it"),
    (
        "conversations.floor",
        "what retention leaves there needs no floor: places and messages go in one transaction",
    ),
    ("messages.id", "in a file messages lie in the order of their arrival"),
    ("retries.message", "a message is found by its place there"),
    ("retries.conversation", "a message is found by its place"),
    ("retries.seq", "a message is found by its place"),
    (
        "retries.unix_ms",
        "client message ids expire by it; in a file with their messages, in the order of arrival",
    ),
    ("probe.id", "every table there has a key"),
];

struct Column {
    name: String,
    kind: String,
    is_key: bool,
    is_unique: bool,
}

struct Table {
    name: String,
    columns: Vec<Column>,
    /// Column, table referred to.
    foreign: Vec<(String, String)>,
    indexes: Vec<String>,
}

fn rows<T>(
    database: &Connection,
    query: &str,
    of: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
) -> Vec<T> {
    let mut statement = database.prepare(query).unwrap();
    let rows = statement.query_map([], of).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

fn tables(path: &Path) -> Vec<Table> {
    let database = Connection::open(path).unwrap();
    let names: Vec<String> = rows(
        &database,
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name",
        |row| row.get(0),
    );
    names.into_iter().map(|name| table(&database, name)).collect()
}

fn table(database: &Connection, name: String) -> Table {
    let mut columns = rows(database, &format!("PRAGMA table_info({name})"), |row| {
        Ok(Column {
            name: row.get("name")?,
            kind: row.get("type")?,
            is_key: row.get::<_, i64>("pk")? > 0,
            is_unique: false,
        })
    });
    let mut indexes = Vec::new();
    let list = rows(database, &format!("PRAGMA index_list({name})"), |row| {
        Ok((
            row.get::<_, String>("name")?,
            row.get::<_, bool>("unique")?,
            row.get::<_, String>("origin")?,
        ))
    });
    for (index, is_unique, origin) in list {
        let of: Vec<Option<String>> =
            rows(database, &format!("PRAGMA index_info({index})"), |row| row.get("name"));
        let of: Vec<String> = of.into_iter().flatten().collect();
        match of.as_slice() {
            [only] if is_unique => {
                columns
                    .iter_mut()
                    .filter(|column| column.name == *only)
                    .for_each(|column| column.is_unique = true);
            }
            // A primary key shows in its columns.
            _ if origin == "pk" => {}
            _ => indexes.push(format!(
                "{}({})",
                if is_unique { "unique " } else { "" },
                of.join(", ")
            )),
        }
    }
    indexes.sort();
    let foreign = rows(database, &format!("PRAGMA foreign_key_list({name})"), |row| {
        Ok((row.get("from")?, row.get("table")?))
    });
    Table { name, columns, foreign, indexes }
}

/// The tables of a database, with the names that its own programs show for their types.
fn server_tables(name: &str) -> Vec<Table> {
    let query = |text: &str| ground::server().query(&text.replace("THIS", name)).unwrap();
    let mut tables: Vec<Table> = Vec::new();
    for row in query(
        "SELECT table_name, column_name, column_type, column_key FROM information_schema.columns
         WHERE table_schema = 'THIS' ORDER BY table_name, ordinal_position",
    ) {
        let [name, column, kind, key] = <[String; 4]>::try_from(row).unwrap();
        if tables.last().is_none_or(|table| table.name != name) {
            tables.push(Table { name, columns: vec![], foreign: vec![], indexes: vec![] });
        }
        // The width of a number is said by some servers only, and means nothing.
        let kind = match kind.split_once('(') {
            Some((kind, _)) if kind.ends_with("int") => kind.to_owned(),
            _ => kind,
        };
        let (is_key, is_unique) = (key == "PRI", key == "UNI");
        let column = Column { name: column, kind: kind.to_uppercase(), is_key, is_unique };
        tables.last_mut().unwrap().columns.push(column);
    }
    for row in query(
        "SELECT table_name, MIN(non_unique), GROUP_CONCAT(column_name ORDER BY seq_in_index SEPARATOR ', ')
         FROM information_schema.statistics WHERE table_schema = 'THIS' AND index_name <> 'PRIMARY'
         GROUP BY table_name, index_name ORDER BY table_name, index_name",
    ) {
        let [name, non_unique, columns] = <[String; 3]>::try_from(row).unwrap();
        let table = tables.iter_mut().find(|table| table.name == name).unwrap();
        let is_shown = non_unique == "0" && !columns.contains(',');
        if !is_shown {
            let unique = if non_unique == "0" { "unique " } else { "" };
            table.indexes.push(format!("{unique}({columns})"));
        }
    }
    tables
}

/// What only one of the backends has, in words: every difference must have some.
fn differences(files: &[Table], server: &[Table]) -> String {
    let find = |tables: &[Table], name: &str| tables.iter().any(|table| table.name == name);
    let names = |tables: &[Table], others: &[Table]| {
        let mut names = Vec::new();
        for table in tables {
            if !find(others, &table.name) {
                names.push(table.name.clone());
                continue;
            }
            let has = |name: &str| {
                let same = others.iter().filter(|other| other.name == table.name);
                same.flat_map(|other| &other.columns).any(|column| column.name == name)
            };
            let missing = table.columns.iter().filter(|column| !has(&column.name));
            names.extend(missing.map(|column| format!("{}.{}", table.name, column.name)));
        }
        names.sort();
        names.dedup();
        names
    };
    let mut page = String::from("| only in | what | why |\n|---|---|---|\n");
    for (place, names) in [("files", names(files, server)), ("MySQL", names(server, files))] {
        for name in names {
            let why = DIFFERENCES.iter().find(|(known, _)| *known == name);
            let (_, why) = why.unwrap_or_else(|| panic!("say why only {place} have {name}"));
            let _ = writeln!(page, "| {place} | `{name}` | {why} |");
        }
    }
    page
}

/// A file's tables as a diagram, and what a diagram cannot show below it.
fn diagram(file: &str, tables: &[Table], others: &[Table]) -> String {
    let mut page = String::from("```mermaid\nerDiagram\n");
    for Table { name, columns, foreign, .. } in tables {
        let _ = writeln!(page, "    {name} {{");
        for Column { name, kind, is_key, is_unique } in columns {
            let mark = match (is_key, is_unique) {
                (true, _) => " PK",
                (false, true) => " UK",
                (false, false) => "",
            };
            let _ = writeln!(page, "        {kind} {name}{mark}");
        }
        page.push_str("    }\n");
        for (column, other) in foreign {
            let _ = writeln!(page, "    {other} ||--o{{ {name} : {column}");
        }
    }
    for (_, from, to, about) in REFERENCES.iter().filter(|(of, ..)| *of == file) {
        let ((from, _), (to, _)) = (find(from, tables, others), find(to, tables, others));
        let _ = writeln!(page, "    {to} ||..o{{ {from} : \"{about}\"");
    }
    page.push_str("```\n");
    for Table { name, indexes, .. } in tables.iter().filter(|table| !table.indexes.is_empty()) {
        let indexes: Vec<_> = indexes.iter().map(|index| index.trim_start()).collect();
        let _ = write!(page, "\n`{name}` has the indexes {}.\n", indexes.join(", "));
    }
    page
}

/// A column that is referred to by name must be there.
fn find<'a>(name: &'a str, tables: &[Table], others: &[Table]) -> (&'a str, &'a str) {
    let (table, column) = name.split_once('.').unwrap();
    let has = |known: &Table| {
        known.name == table && known.columns.iter().any(|known| known.name == column)
    };
    assert!(tables.iter().chain(others).any(has), "{name} is not in the schema");
    (table, column)
}

#[test]
fn the_page_shows_the_schema_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let (accounts, messages) = (Options::accounts(folder.path()), Options::messages(folder.path()));
    drop(Accounts::open(&accounts).unwrap());
    drop(Writer::open(&messages).unwrap());
    let (accounts, messages) = (tables(&accounts.path), tables(&messages.path));
    assert!(accounts.len() >= 2 && messages.len() >= 3);
    let (server, name) = ground::database();
    drop(MysqlWriter::open(&server).unwrap());
    let server = server_tables(&name);
    let page = format!(
        "# What is in the databases\n\n\
         Made from the databases themselves by `WRITE=1 cargo test -p store --test schema_page`, which fails when this page \
         and\nthey differ. A solid line is a foreign key; a dotted one is a reference that the database does not check.\n\n\
         ## accounts.sqlite\n\n{}\n## messages.sqlite\n\n{}\n## A MySQL database\n\n\
         One database has both. Its types are as wide as those of the files; names of accounts differ only if they differ beyond\n\
         upper and lower case, all else is compared byte by byte.\n\n{}\n{}",
        diagram("accounts", &accounts, &messages),
        diagram("messages", &messages, &accounts),
        diagram("mysql", &server, &[]),
        differences(&accounts.into_iter().chain(messages).collect::<Vec<_>>(), &server),
    );
    if std::env::var_os("WRITE").is_some() {
        std::fs::write(PAGE, &page).unwrap();
    }
    let shown = std::fs::read_to_string(PAGE).unwrap_or_default();
    assert!(
        shown == page,
        "store/SCHEMA.md shows another schema: write it anew with WRITE=1, and look at the difference\n{page}"
    );
}
