//! The statements of the collections, written out from their shapes.
//!
//! Every statement has the tenant as `?1` and the company as `?2`. Entries come back as one text a row,
//! `[id, revision, modified, body]`: a column of its own for each costs twice the time. Rows go in as one JSON array
//! of arrays; `jsonb_each` under `LIMIT -1` takes each apart once and not once per column, four times faster
//! than `json_each` and as fast as a parameter per value.

use std::sync::LazyLock;

use crate::store::catalog::{Body, Index, Kind, Member, Shape};
use crate::store::{Collection, StorageError, UNREADABLE};

/// The fixed statements of a collection.
pub(super) struct Statements {
    /// `?3` ids.
    pub get: String,
    /// Id and revision only; `?3` ids.
    pub look: String,
    /// `?3` after, `?4` limit.
    pub scan: String,
    pub count: String,
    /// One for each index, in the shape's order: `?3` keys, `?4` limit.
    pub find: Vec<String>,
    /// `?3` rows, `?4` now, `?5` user, `?6` organisation.
    pub put: String,
    /// `?3` ids.
    pub delete: String,
}

static STATEMENTS: LazyLock<Vec<Statements>> =
    LazyLock::new(|| Collection::ALL.into_iter().map(|collection| statements(collection.shape())).collect());

pub(super) fn of(collection: Collection) -> Result<&'static Statements, StorageError> {
    let at = Collection::ALL.into_iter().position(|other| other == collection);
    at.and_then(|at| STATEMENTS.get(at)).ok_or_else(|| StorageError::Invalid("no such collection".into()))
}

/// The expression of bodies that hold these members only; all when none is named.
pub(super) fn body(shape: &Shape, only: &[String]) -> Result<String, StorageError> {
    if only.is_empty() {
        return Ok(whole(shape));
    }
    Ok(match shape.body {
        Body::Free => {
            // The names become part of a statement: only plain ones may.
            let plain = |name: &String| {
                (1..=64).contains(&name.len())
                    && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
            };
            if let Some(name) = only.iter().find(|name| !plain(name)) {
                return Err(StorageError::Invalid(format!("{name:?} is no plain member name")));
            }
            let parts = only
                .iter()
                .map(|name| format!("'\"{name}\":'||nullif(t.body -> '$.\"{name}\"', 'null')"))
                .collect::<Vec<_>>();
            object(&parts)
        }
        Body::Members(_) => {
            let member = |name: &String| {
                let member = shape.member(name);
                member.ok_or_else(|| {
                    StorageError::Invalid(format!("an entry of {} has no member {name:?}", shape.name))
                })
            };
            let parts = only.iter().map(|name| member(name).map(read)).collect::<Result<Vec<_>, _>>()?;
            object(&parts)
        }
    })
}

/// A statement with bodies of this expression, made careful: a row that would fail all of it says instead which of its
/// columns is to blame. Twice as slow, so it is asked only after the plain one has failed.
pub(super) fn careful(shape: &Shape, statement: &str, body: &str) -> String {
    let column = |name: &str, bad: &str, why: &str| {
        format!(
            "WHEN {bad} THEN '{{\"{UNREADABLE}\":\"{name}: {why}\"}}'",
            bad = bad.replace("{}", &format!("t.{name}"))
        )
    };
    let blob = |name: &str| column(name, "typeof({}) = 'blob'", "bytes instead of text");
    let broken = |name: &str| column(name, "{} IS NOT NULL AND NOT json_valid({})", "no JSON");
    let mut cases = Vec::new();
    if let Body::Free = shape.body {
        cases.extend([blob("body"), broken("body")]);
    }
    for Member { column: name, kind, .. } in shape.members() {
        cases.push(blob(name));
        match kind {
            Kind::Json | Kind::Object => cases.push(broken(name)),
            Kind::Number => {
                cases.push(column(name, "typeof({}) NOT IN ('integer', 'null')", "no whole number"))
            }
            _ => {}
        }
    }
    let body_or_why = format!("CASE {} ELSE {body} END", cases.join(" "));
    let id = format!("json_quote(t.{})", shape.id);
    // An id nobody can ask for, its bytes as hexadecimal digits. Tombstones can have one too.
    let id_or_bytes = format!(
        r#"CASE typeof(t.{column}) WHEN 'text' THEN {id} ELSE '"\u0000'||hex(t.{column})||'"' END"#,
        column = shape.id
    );
    statement.replace(&entry(shape, body), &entry(shape, &body_or_why)).replace(&id, &id_or_bytes)
}

/// Changes of a CRM collection, its tombstones among them: `?3` after, `?4` limit.
pub(super) static CONTACT_CHANGES: LazyLock<String> = LazyLock::new(|| {
    let shape = Collection::Contacts.shape();
    let entry = entry(shape, &whole(shape));
    format!(
        "SELECT * FROM (
            SELECT * FROM (SELECT {entry}, t.revision AS number FROM contacts t
                           WHERE {scope} AND t.revision > ?3 ORDER BY t.revision LIMIT ?4)
            UNION ALL
            SELECT * FROM (SELECT '['||json_quote(t.id)||','||t.revision||','||json_quote(t.deleted_at)||',null]',
                                  t.revision AS number FROM crm_tombstones t
                           WHERE {scope} AND t.collection = 'contacts' AND t.revision > ?3
                           ORDER BY t.revision LIMIT ?4)
         ) ORDER BY number LIMIT ?4",
        scope = scope(shape),
    )
});

fn statements(shape: &Shape) -> Statements {
    let (table, id, scope) = (shape.table, shape.id, scope(shape));
    let body = whole(shape);
    let entry = entry(shape, &body);
    let ids = format!("{scope} AND t.{id} IN (SELECT value FROM json_each(?3))");
    Statements {
        get: format!("SELECT {entry} FROM {table} t WHERE {ids}"),
        look: format!("SELECT t.{id}, t.revision FROM {table} t WHERE {ids}"),
        scan: scan_of(shape, &body),
        count: format!("SELECT count(*) FROM {table} t WHERE {scope}"),
        find: shape.indexes.iter().map(|index| find(shape, index, &entry)).collect(),
        put: put(shape),
        delete: format!("DELETE FROM {table} AS t WHERE {ids}"),
    }
}

/// Which rows are in the room.
fn scope(shape: &Shape) -> &'static str {
    if shape.company { "t.tenant_id = ?1 AND t.company = ?2" } else { "t.tenant_id = ?1 AND ?2 >= 0" }
}

/// An id is a text: bytes under that name come after every text, and no page would ever end with them.
pub(super) fn scan_of(shape: &Shape, body: &str) -> String {
    format!(
        "SELECT {entry} FROM {table} t WHERE {scope} AND t.{id} > ?3 AND t.{id} < x'' ORDER BY t.{id} LIMIT ?4",
        entry = entry(shape, body),
        table = shape.table,
        scope = scope(shape),
        id = shape.id,
    )
}

/// The inner query walks the index and stops at the limit, key by key.
fn find(shape: &Shape, index: &Index, entry: &str) -> String {
    let mut only = index.only.map(|(only, _)| format!(" AND i.{only}")).unwrap_or_default();
    if shape.table == "contacts" {
        // What the index leads with.
        only.push_str(" AND substr(i.tenant_id, -8) = substr(?1, -8)");
    }
    format!(
        "SELECT {entry}, k.key FROM json_each(?3) k CROSS JOIN {table} t
         WHERE {scope} AND t.{id} IN (SELECT i.{id} FROM {table} i WHERE {inner} AND i.{column} = k.value{only} LIMIT ?4)
         ORDER BY k.key, t.{id}",
        table = shape.table,
        scope = scope(shape),
        inner = scope(shape).replace("t.", "i."),
        id = shape.id,
        column = index.column,
    )
}

fn entry(shape: &Shape, body: &str) -> String {
    format!(
        "'['||json_quote(t.{})||','||t.revision||','||json_quote(CAST(t.{} AS TEXT))||','||{body}||']'",
        shape.id, shape.modified
    )
}

/// The whole body as an expression.
pub(super) fn whole(shape: &Shape) -> String {
    match shape.body {
        Body::Free => "t.body".to_owned(),
        Body::Members(members) => object(&members.iter().map(read).collect::<Vec<_>>()),
    }
}

/// An object of those parts that are not null.
fn object(parts: &[String]) -> String {
    format!("'{{'||concat_ws(',', {})||'}}'", parts.join(", "))
}

/// A member with its name, null when it is absent.
fn read(member: &Member) -> String {
    let Member { name, column, kind } = member;
    let value = match kind {
        Kind::Text | Kind::Required | Kind::Word(_) | Kind::Sealed => {
            format!("nullif(json_quote(t.{column}), 'null')")
        }
        Kind::Blankable => format!("nullif(json_quote(t.{column}), '\"\"')"),
        Kind::Flag => format!("CASE t.{column} WHEN 1 THEN 'true' WHEN 0 THEN 'false' END"),
        Kind::Number | Kind::Json => format!("t.{column}"),
        Kind::Object => format!("nullif(t.{column}, '{{}}')"),
    };
    format!("'\"{name}\":'||{value}")
}

/// Inserts rows or replaces them. A row is `[id, revision, members…]`, for links with the row's own id at the end.
fn put(shape: &Shape) -> String {
    let mut columns = vec!["tenant_id".to_owned(), shape.id.to_owned(), "revision".to_owned()];
    let mut values = vec!["?1".to_owned(), "v->>0".to_owned(), "v->>1".to_owned()];
    let mut updates = vec!["revision = excluded.revision".to_owned()];
    let mut column = |name: &str, value: String, update: Option<String>| {
        columns.push(name.to_owned());
        values.push(value);
        updates.extend(update.map(|update| format!("{name} = {update}")));
    };
    let replace = |name: &str| Some(format!("excluded.{name}"));
    let contacts = shape.table == "contacts";

    if shape.company {
        column("company", "?2".into(), None);
    }
    if !contacts {
        column(shape.modified, "?4".into(), replace(shape.modified));
    }
    if let Body::Free = shape.body {
        column("body", "v->2".into(), replace("body"));
    }
    for (at, Member { column: name, kind, .. }) in shape.members().iter().enumerate() {
        let at = at + 2;
        match (*name, kind) {
            ("createdat", _) => {
                let kept = "coalesce(contacts.createdat, excluded.createdat)".to_owned();
                column(name, format!("coalesce(v->>{at}, ?4)"), Some(kept));
            }
            // The time the body brings counts only when it is news.
            ("updatedat", _) => column(
                name,
                format!("coalesce(v->>{at}, ?4)"),
                Some("iif(excluded.updatedat = contacts.updatedat, ?4, excluded.updatedat)".to_owned()),
            ),
            (_, Kind::Blankable) => column(name, format!("coalesce(v->>{at}, '')"), replace(name)),
            (_, Kind::Json | Kind::Object) => column(name, format!("nullif(v->{at}, 'null')"), replace(name)),
            _ => column(name, format!("v->>{at}"), replace(name)),
        }
    }
    if contacts || shape.table == "metakocka_contact_mappings" {
        column("user_id", "?5".into(), None);
        column("organization_id", "?6".into(), None);
    }
    if shape.table == "metakocka_contact_mappings" {
        column("id", format!("v->>{}", shape.members().len() + 2), None);
        column("created_at", "?4".into(), None);
    }

    let key = if shape.company { "tenant_id, company" } else { "tenant_id" };
    format!(
        "INSERT INTO {table} ({columns}) SELECT {values} FROM (SELECT value AS v FROM jsonb_each(?3) LIMIT -1)
         WHERE true ON CONFLICT ({key}, {id}) DO UPDATE SET {updates}",
        table = shape.table,
        columns = columns.join(", "),
        values = values.join(", "),
        id = shape.id,
        updates = updates.join(", "),
    )
}
