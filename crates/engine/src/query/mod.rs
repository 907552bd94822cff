//! Queries: one JSON language for TypeScript, HTTP and MCP (`docs/query.md`), read into a [`Query`] and carried out here.
//!
//! On its way a query passes `request`, `parse_filter`, `literal`, `projection` and `legacy` (the language), `planner`,
//! `sampler`, `plan` and `ranges` (how records are found), `walk`, `matcher`, `compare`, `order` and `collect` (finding,
//! testing, sorting), `run` (one page), `token` and `seal` (where the next one begins), `explain` and `meter` (what it took).
//! `about` is what a record is beside its document, `body` is what else can be asked, `change` changes what is found. `sight` is what of changes those are told who follow a collection. `source` is all that it knows of storage, `state` its
//! state of an open store, `store` the calls.
//!
//! What always holds:
//! - A plan decides what a query costs, never what it answers: every record found is tested with the whole filter.
//! - The pages of a query show one state of the store, each record of it exactly once, whatever is written meanwhile.

mod about;
mod body;
mod change;
mod collect;
mod compare;
mod explain;
mod filter;
mod legacy;
mod literal;
mod matcher;
mod meter;
mod order;
mod parse_filter;
mod plan;
mod planner;
mod pointer;
mod project;
mod projection;
mod ranges;
mod request;
mod run;
mod sampler;
mod seal;
mod sight;
mod source;
mod state;
mod store;
mod token;
mod walk;

pub use body::{Body, Change};
pub use change::Changed;
pub use filter::{Filter, Pattern, Place, Test, Type};
pub use projection::{Beside, Projection, Tree};
pub use request::{AsOf, Count, Explain, Hints, Order, Query, Rules};
pub use run::Answer;
pub(crate) use sight::Past;
pub use sight::Sight;

#[cfg(test)]
mod tests;
