//! The result of a sync, for programs and for people.

use std::time::Duration;

use serde_json::{Value, json};

use super::measure::{peak_rss_mib, tenths};
use crate::plugin::{Action, Item, RecordError, Report, Side};

/// What a run took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    /// Wall time.
    pub(crate) duration: Duration,
    /// CPU time of this process meanwhile.
    pub(crate) cpu: Duration,
    /// The guest's peak memory.
    pub(crate) guest_peak_bytes: u64,
}

/// A finished run as JSON. The names are fixed: tests and scripts rely on them.
pub(crate) fn result(run_id: &str, report: &Report, cost: Cost) -> Value {
    let mut result = json!({
        "success": report.success,
        "created": report.crm_created + report.metakocka_created,
        "updated": report.crm_updated + report.metakocka_updated,
        "unchanged": report.unchanged,
        "linked": report.linked,
        "deactivated": report.crm_deactivated,
        "held": report.held,
        "waiting": report.waiting,
        "parked": report.parked,
        "quarantined": report.quarantined,
        "failed": report.failed,
        "conflicts": report.conflicts,
        "seen": report.seen,
        "taken": report.taken,
        "errors": report.errors.iter().map(error).collect::<Vec<_>>(),
        "items": report.items.iter().map(item).collect::<Vec<_>>(),
        "items_left_out": report.items_left_out,
        "crm": {
            "created": report.crm_created,
            "updated": report.crm_updated,
            "deactivated": report.crm_deactivated,
        },
        "metakocka": { "created": report.metakocka_created, "updated": report.metakocka_updated },
        "calls": { "made": report.calls_made, "least": report.calls_least },
    });
    if let Some(members) = result.as_object_mut() {
        if let Some(until) = &report.waiting_until {
            members.insert("until".to_owned(), json!(until));
        }
        if let Some(stopped) = &report.stopped {
            members.insert("stopped".to_owned(), json!({ "code": stopped.code, "message": stopped.message }));
        }
        add_cost(members, run_id, cost);
    }
    result
}

fn error(error: &RecordError) -> Value {
    json!({
        "id": error.id,
        "error": error.error,
        "code": error.code,
        "crm_id": error.crm_id,
        "metakocka_id": error.metakocka_id,
    })
}

/// A side, as every command names it.
pub(crate) const fn side(side: Side) -> &'static str {
    match side {
        Side::Metakocka => "metakocka",
        Side::Crm => "crm",
    }
}

fn item(item: &Item) -> Value {
    let action = match item.action {
        Action::Created => "created",
        Action::Updated => "updated",
        Action::Linked => "linked",
        Action::Deactivated => "deactivated",
        Action::Failed => "failed",
        Action::Parked => "parked",
    };
    json!({
        "action": action,
        "side": side(item.side),
        "crm_id": item.crm_id,
        "metakocka_id": item.metakocka_id,
    })
}

/// What is kept of a result: the links name what was made, so a run does not keep up to ten thousand items for ever.
pub(crate) fn kept(result: &Value) -> Value {
    let members = result.as_object().into_iter().flatten().filter(|(name, _)| *name != "items");
    members.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// A run that gave no report: a limit, a trap, or a refusal.
pub(crate) fn broken(run_id: &str, code: &str, message: &str, cost: Cost) -> Value {
    let mut result = json!({
        "success": false, "created": 0, "updated": 0, "unchanged": 0, "linked": 0, "deactivated": 0, "held": 0,
        "waiting": 0, "parked": 0, "quarantined": 0, "failed": 0, "conflicts": 0, "seen": 0, "taken": 0,
        "errors": [{ "id": "run", "error": message, "code": code, "crm_id": null, "metakocka_id": null }],
        "items": [], "items_left_out": 0,
        "crm": { "created": 0, "updated": 0, "deactivated": 0 },
        "metakocka": { "created": 0, "updated": 0 },
        "calls": { "made": 0, "least": 0 },
        "stopped": { "code": code, "message": message },
    });
    if let Some(members) = result.as_object_mut() {
        add_cost(members, run_id, cost);
    }
    result
}

fn add_cost(members: &mut serde_json::Map<String, Value>, run_id: &str, cost: Cost) {
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    members.insert("run_id".to_owned(), json!(run_id));
    members.insert("duration_ms".to_owned(), json!(millis(cost.duration)));
    members.insert("cpu_ms".to_owned(), json!(millis(cost.cpu)));
    members.insert("peak_rss_mib".to_owned(), json!(peak_rss_mib()));
    #[expect(
        clippy::cast_precision_loss,
        reason = "bytes of one guest, shown with one digit after the point"
    )]
    let mib = cost.guest_peak_bytes as f64 / 1024.0 / 1024.0;
    members.insert("guest_peak_mib".to_owned(), json!(tenths(mib)));
}

/// The result in sentences.
pub(crate) fn describe(tenant: &str, result: &Value) -> String {
    let number = |path: &str| result.pointer(path).and_then(Value::as_u64).unwrap_or(0);
    let mut lines = vec![format!(
        "{tenant}: {}",
        match result.pointer("/stopped/message").and_then(Value::as_str) {
            Some(message) => format!("stopped. {message}"),
            None if result.get("success") == Some(&Value::Bool(true)) && number("/parked") > 0 => {
                format!("in step, but {} waiting for a person.", number("/parked"))
            }
            None if result.get("success") == Some(&Value::Bool(true)) && number("/waiting") > 0 => {
                format!("not in step yet, {} writes still under way.", number("/waiting"))
            }
            None if result.get("success") == Some(&Value::Bool(true)) => "in step.".to_owned(),
            None => "done, with failures.".to_owned(),
        }
    )];
    lines.push(format!(
        "  CRM        created {:>6}   updated {:>6}   deactivated {:>4}",
        number("/crm/created"),
        number("/crm/updated"),
        number("/crm/deactivated")
    ));
    lines.push(format!(
        "  Metakocka  created {:>6}   updated {:>6}",
        number("/metakocka/created"),
        number("/metakocka/updated")
    ));
    lines.push(format!(
        "  seen {}, unchanged {}, linked {}, calls {} (least possible {}), {} ms",
        number("/seen"),
        number("/unchanged"),
        number("/linked"),
        number("/calls/made"),
        number("/calls/least"),
        number("/duration_ms")
    ));
    let open = [
        ("/conflicts", "fields changed on both sides"),
        ("/parked", "waiting for a decision (`conflicts list`, `quarantine list`)"),
        ("/quarantined", "in quarantine (`quarantine list`)"),
        ("/held", "with CRM edits held back by the direction"),
        ("/waiting", "writes not sent yet, or with an outcome nobody knows yet (run again)"),
        ("/taken", "left to another run of this tenant"),
        ("/failed", "failed"),
    ];
    for (path, what) in open.into_iter().filter(|(path, _)| number(path) > 0) {
        lines.push(format!("  {} {what}", number(path)));
    }
    for error in result.get("errors").and_then(Value::as_array).into_iter().flatten().take(10) {
        let text = |member: &str| error.get(member).and_then(Value::as_str).unwrap_or_default();
        lines.push(format!("  - {}: {}", text("id"), text("error")));
    }
    lines.join("\n")
}
