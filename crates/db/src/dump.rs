//! Writes a database to a text file and loads it again: for backups, and before a schema migration.
//!
//! ```text
//! {"goldsmith":"database","format":1,"schema":4}
//! {"table":"clients","row":{"client_id":"…", …}}
//! {"rows":17}
//! ```
//!
//! One read-only transaction reads all rows, so they are consistent, and writers need not wait. SQLite and PostgreSQL
//! share the format: a dump of one can be loaded into the other without their own tools. Loading creates the schema
//! version of the dump.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufRead as _, BufReader, BufWriter, Write as _},
    path::Path,
};

use futures_util::TryStreamExt as _;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sqlx::{
    AssertSqlSafe, Row as _,
    any::{AnyRow, AnyTypeInfoKind},
};

use super::{
    Error,
    connect::{create, sqlite_file},
    connection::Connection,
    installation::Inspector,
    migrate,
};

const FORMAT: u32 = 1;

/// A summary of a dump.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Dumped {
    /// The schema version.
    pub schema: usize,
    /// The number of rows of each table.
    pub tables: BTreeMap<String, u64>,
    /// The number of commits of its installation, if it has one.
    pub mark: Option<i64>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    Head { goldsmith: String, format: u32, schema: usize },
    Row { table: String, row: Map<String, Value> },
    End { rows: u64 },
}

/// Writes all rows of a database to a new file that only its owner can read.
///
/// # Errors
/// The database cannot be read, or the file cannot be written.
pub async fn dump(url: &str, to: &Path) -> Result<Dumped, Error> {
    sqlx::any::install_default_drivers();
    let mut connection = Connection::open(url).await?;
    let schema = Inspector::new(url, &mut connection).schema().await?;
    let begin = match url.starts_with("sqlite:") {
        true => "BEGIN",
        false => "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY",
    };
    sqlx::raw_sql(begin).execute(&mut connection).await?;
    let mut options = tokio::fs::OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(to).await;
    let mut file = BufWriter::new(file.map_err(sqlx::Error::Io)?.into_std().await);
    let head = Line::Head { goldsmith: "database".to_owned(), format: FORMAT, schema };
    put(&mut file, &head)?;
    let mut dumped = Dumped { schema, ..Dumped::default() };
    for table in migrate::tables(schema) {
        let rows = dump_table(&mut connection, &table, &mut file, &mut dumped.mark).await?;
        dumped.tables.insert(table, rows);
    }
    put(&mut file, &Line::End { rows: dumped.tables.values().sum() })?;
    let file = file.into_inner().map_err(|error| sqlx::Error::Io(error.into_error()))?;
    tokio::fs::File::from_std(file).sync_all().await.map_err(sqlx::Error::Io)?;
    connection.close().await?;
    Ok(dumped)
}

async fn dump_table(
    connection: &mut Connection,
    table: &str,
    file: &mut BufWriter<File>,
    mark: &mut Option<i64>,
) -> Result<u64, Error> {
    let query = sqlx::query(AssertSqlSafe(format!("SELECT * FROM {table}")));
    let mut rows = query.fetch(connection);
    let mut count = 0;
    while let Some(row) = rows.try_next().await? {
        let row = values(&row)?;
        if table == "installation" {
            *mark = row.get("mark").and_then(Value::as_i64);
        }
        put(file, &Line::Row { table: table.to_owned(), row })?;
        count += 1;
    }
    Ok(count)
}

fn values(row: &AnyRow) -> Result<Map<String, Value>, sqlx::Error> {
    let mut values = Map::new();
    for (column, value) in row.columns.iter().zip(&row.values) {
        let name = sqlx::Column::name(column);
        let kind = sqlx::Value::type_info(value).kind();
        let value = match kind {
            _ if sqlx::Value::is_null(value) => Value::Null,
            AnyTypeInfoKind::Bool => Value::from(row.try_get::<bool, _>(name)?),
            AnyTypeInfoKind::SmallInt | AnyTypeInfoKind::Integer | AnyTypeInfoKind::BigInt => {
                Value::from(row.try_get::<i64, _>(name)?)
            }
            AnyTypeInfoKind::Text => Value::from(row.try_get::<String, _>(name)?),
            AnyTypeInfoKind::Null
            | AnyTypeInfoKind::Real
            | AnyTypeInfoKind::Double
            | AnyTypeInfoKind::Blob => {
                return Err(damaged(format!("column {name} has the type {kind:?}")));
            }
        };
        values.insert(name.to_owned(), value);
    }
    Ok(values)
}

fn put(file: &mut BufWriter<File>, line: &Line) -> Result<(), Error> {
    serde_json::to_writer(&mut *file, line).map_err(|e| sqlx::Error::Io(e.into()))?;
    file.write_all(b"\n").map_err(sqlx::Error::Io)?;
    Ok(())
}

/// Loads a dump into an empty database, in one transaction. The database then has the schema version of the dump;
/// opening it applies the missing migrations.
///
/// # Errors
/// The database is not empty, the dump is incomplete or from a later release, or either cannot be read or written.
pub async fn load(url: &str, from: &Path) -> Result<Dumped, Error> {
    sqlx::any::install_default_drivers();
    let file = tokio::fs::File::open(from).await.map_err(sqlx::Error::Io)?;
    let mut lines = BufReader::new(file.into_std().await).lines();
    let mut next = move || -> Result<Option<Line>, sqlx::Error> {
        let Some(line) = lines.next().transpose().map_err(sqlx::Error::Io)? else {
            return Ok(None);
        };
        serde_json::from_str(&line).map(Some).map_err(|e| damaged(e.to_string()))
    };
    let schema = match next()? {
        Some(Line::Head { goldsmith, format: FORMAT, schema }) if goldsmith == "database" => schema,
        _ => {
            return Err(damaged(
                "its first line is not that of a dump this release can read".to_owned(),
            )
            .into());
        }
    };
    if let Some(path) = sqlite_file(url)? {
        create(&path).await.map_err(sqlx::Error::Io)?;
    }
    let mut connection = Connection::open(url).await?;
    if Inspector::new(url, &mut connection).schema().await? != 0 {
        let text = "the database is not empty, and its rows are not overwritten";
        return Err(sqlx::Error::Configuration(text.into()).into());
    }
    sqlx::raw_sql("BEGIN").execute(&mut connection).await?;
    migrate::apply(&mut connection, !url.starts_with("sqlite:"), schema).await?;
    let known = migrate::tables(schema);
    let tables = known.iter().map(|table| (table.clone(), 0)).collect();
    let mut loaded = Dumped { schema, tables, mark: None };
    loop {
        match next()? {
            Some(Line::Row { table, row }) if known.contains(&table) => {
                if table == "installation" {
                    loaded.mark = row.get("mark").and_then(Value::as_i64);
                }
                insert(&mut connection, &table, row).await?;
                *loaded.tables.entry(table).or_default() += 1;
            }
            Some(Line::End { rows }) if rows == loaded.tables.values().sum::<u64>() => break,
            Some(_) => return Err(damaged("it has an unexpected line".to_owned()).into()),
            None => return Err(damaged("its end is missing".to_owned()).into()),
        }
    }
    sqlx::raw_sql("COMMIT").execute(&mut connection).await?;
    connection.close().await?;
    Ok(loaded)
}

async fn insert(
    connection: &mut Connection,
    table: &str,
    row: Map<String, Value>,
) -> Result<(), Error> {
    let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    if let Some(name) = row.keys().find(|name| !is_name(name)) {
        return Err(damaged(format!("{name:?} does not name a column")).into());
    }
    // NULL is a literal because a parameter would need the type of its column.
    let (mut names, mut placeholders, mut parameters) = (Vec::new(), Vec::new(), Vec::new());
    for (name, value) in row {
        if value.is_null() {
            placeholders.push("NULL".to_owned());
        } else {
            parameters.push(value);
            placeholders.push(format!("${}", parameters.len()));
        }
        names.push(name);
    }
    let text =
        format!("INSERT INTO {table} ({}) VALUES ({})", names.join(", "), placeholders.join(", "));
    let mut query = sqlx::query(AssertSqlSafe(text));
    for value in parameters {
        query = match value {
            Value::String(text) => query.bind(text),
            Value::Bool(value) => query.bind(value),
            Value::Number(number) if number.is_i64() => query.bind(number.as_i64()),
            other => {
                return Err(
                    damaged(format!("a row of {table} has the unexpected value {other}")).into()
                );
            }
        };
    }
    query.execute(connection).await?;
    Ok(())
}

fn damaged(why: String) -> sqlx::Error {
    sqlx::Error::Io(io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the dump of the database cannot be used: {why}"),
    ))
}
