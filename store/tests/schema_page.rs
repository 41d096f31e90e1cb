//! The page that shows the databases is made from the databases: it and they cannot differ.
//!
//! `WRITE=1 cargo test -p store --test schema_page` writes it anew.

use std::fmt::Write as _;
use std::path::Path;

use rusqlite::Connection;
use store::{Accounts, Options, Writer};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/SCHEMA.md");

/// What refers to what without the database knowing: an index that lags behind, as these may, cannot be a foreign key.
const REFERENCES: &[(&str, &str, &str, &str)] = &[
    ("messages", "messages.conversation", "conversations.id", "is said in"),
    ("messages", "messages.sender", "accounts.user_id", "is said by"),
    ("messages", "places.conversation", "conversations.id", "orders"),
    ("messages", "places.message", "messages.id", "finds by seq"),
    ("messages", "retries.message", "messages.id", "finds by client message id"),
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
    let page = format!(
        "# What is in the databases\n\n\
         Made from the databases themselves by `WRITE=1 cargo test -p store --test schema_page`, which fails when this page \
         and\nthey differ. A solid line is a foreign key; a dotted one is a reference that the database does not check.\n\n\
         ## accounts.sqlite\n\n{}\n## messages.sqlite\n\n{}",
        diagram("accounts", &accounts, &messages),
        diagram("messages", &messages, &accounts),
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
