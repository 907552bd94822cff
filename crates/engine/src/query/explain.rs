//! How a query finds its records, in JSON that does not change from version to version without need.

use serde_json::{Value as Json, json};

use super::meter::Meter;
use super::plan::Plan;
use super::request::Query;

/// The plan of a query, and what carrying it out took: what was read, and how many records were returned.
pub(super) fn describe(query: &Query, plan: &Plan, carried_out: Option<(&Meter, usize)>) -> Json {
    let mut node = plan.access.to_json();
    if !query.filter.is_always() {
        node = json!({ "op": "filter", "expr": query.filter.to_json(), "input": node });
    }
    if !plan.ordered {
        let by: Vec<String> = query
            .order
            .iter()
            .map(|term| format!("{} {}", term.place, if term.descending { "desc" } else { "asc" }))
            .collect();
        let memory = query.limit.map_or_else(|| "all".to_owned(), |limit| format!("heap({limit})"));
        node = json!({ "op": "sort", "by": by, "memory": memory, "input": node });
    }
    node = json!({ "op": "page", "limit": query.limit, "input": node });
    let mut out = json!({
        "plan": node,
        "cost": (plan.cost * 10.0).round() / 10.0,
        "considered": plan.considered,
        "warnings": plan.warnings,
    });
    if let Some((meter, returned)) = carried_out {
        out["analyze"] = json!({
            "keysRead": meter.keys_read,
            "docsRead": meter.docs_read,
            "returned": returned,
            "ms": (meter.millis() * 1000.0).round() / 1000.0,
        });
    }
    out
}
