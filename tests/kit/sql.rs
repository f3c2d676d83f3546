//! The store as another program sees it: plain SQL on its file.

use std::path::Path;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Row, SqliteConnection};

fn with<T>(store: &Path, work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, sqlx::Error>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime
        .block_on(async {
            let mut connection = SqliteConnectOptions::new().filename(store).connect().await?;
            work(&mut connection).await
        })
        .unwrap_or_else(|error| panic!("SQL on {}: {error}", store.display()))
}

/// Carries statements out; says how many rows they touched.
///
/// # Panics
/// When SQLite refuses them.
#[must_use]
pub fn execute(store: &Path, sql: &str) -> u64 {
    with(store, async |connection| {
        Ok(sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await?.rows_affected())
    })
}

/// The first column of every row.
///
/// # Panics
/// When SQLite refuses the question.
#[must_use]
pub fn texts(store: &Path, sql: &str) -> Vec<String> {
    with(store, async |connection| first_column(connection, sql).await)
}

async fn first_column(connection: &mut SqliteConnection, sql: &str) -> Result<Vec<String>, sqlx::Error> {
    let rows = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).fetch_all(connection).await?;
    rows.iter().map(|row| row.try_get::<String, _>(0)).collect()
}

/// Every row of every table that belongs to a tenant, as text, table by table. A table without a tenant would be a hole in
/// the wall, so it is named; leases and breakers alone are about whom a row is named after.
///
/// # Panics
/// When SQLite refuses a question, or a table has no tenant.
#[must_use]
pub fn everything_of(store: &Path, tenant_id: &str, except: &[&str]) -> Vec<String> {
    with(store, async |connection| {
        let tables = first_column(
            connection,
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' \
             AND name NOT LIKE '_sqlx_%' AND name NOT IN ('leases', 'breakers') ORDER BY name",
        )
        .await?;
        let mut rows = Vec::new();
        for table in tables.iter().filter(|table| !except.contains(&table.as_str())) {
            let columns =
                first_column(connection, &format!("SELECT name FROM pragma_table_xinfo('{table}')")).await?;
            let owner = match table.as_str() {
                "tenants" => "id",
                // What is true for the whole store and of nobody: its version.
                _ if columns.iter().all(|column| column != "tenant_id") => {
                    panic!("table {table} has no tenant_id")
                }
                _ => "tenant_id",
            };
            let quoted: Vec<String> = columns.iter().map(|column| format!("quote(\"{column}\")")).collect();
            let sql = format!(
                "SELECT '{table}: ' || {} FROM \"{table}\" WHERE {owner} = '{tenant_id}' ORDER BY 1",
                quoted.join(" || ' | ' || ")
            );
            rows.extend(first_column(connection, &sql).await?);
        }
        Ok(rows)
    })
}
