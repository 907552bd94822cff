//! Finds what is wrong with a history, from the lists that were read alone.
//!
//! After Elle (Kingsbury, Alvaro: "Elle: Inferring Isolation Anomalies from Experimental Observations", 2020): the
//! longest read of a list is the order of its versions; that gives edges between transactions, and every anomaly is a
//! cycle of some kind, or plain to see. Predicates are beyond it.

use std::collections::BTreeMap;

use super::graph::{Edge, Graph};
use super::history::{End, Key, Op, Txn};

/// What can be wrong, in the names of Adya and of Elle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Two reads of a list do not agree on its order.
    IncompatibleOrder,
    /// A number is in a list twice, or was never appended.
    Garbage,
    /// A transaction does not see its own appends as it should.
    Internal,
    /// An append that was acknowledged is not in a later read.
    LostAppend,
    /// A read of what an aborted transaction appended.
    G1a,
    /// A read of what was not the last append of its transaction to the list.
    G1b,
    /// A cycle of writes.
    G0,
    /// A cycle of writes and reads.
    G1c,
    /// A cycle with one read of a version before that of a write.
    GSingle,
    /// A cycle with several of them, no two next to one another.
    GNonadjacent,
    /// Any other cycle, such as write skew.
    G2,
}

/// Something wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anomaly {
    /// What.
    pub kind: Kind,
    /// Only if real time counts.
    pub real_time: bool,
    /// Where.
    pub what: String,
}

/// What is promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Snapshot isolation in which a snapshot has all that ended before it.
    StrongSnapshot,
    /// As if one after the other, in an order that agrees with real time.
    StrictSerializable,
}

impl Level {
    /// Whether an anomaly breaks the promise.
    pub fn forbids(self, anomaly: &Anomaly) -> bool {
        self == Self::StrictSerializable || anomaly.kind != Kind::G2
    }
}

/// Everything wrong with a history, one example of each kind of cycle.
pub fn check(history: &[Txn]) -> Vec<Anomaly> {
    let mut checker =
        Checker { history, writers: BTreeMap::new(), orders: BTreeMap::new(), found: Vec::new() };
    checker.note_writers();
    checker.note_orders();
    checker.check_reads();
    checker.check_lost();
    let graph = checker.graph();
    checker.check_cycles(&graph);
    checker.found
}

struct Checker<'a> {
    history: &'a [Txn],
    /// Who appended a number to a list.
    writers: BTreeMap<(Key, u64), usize>,
    /// The longest read of each list.
    orders: BTreeMap<Key, &'a [u64]>,
    found: Vec<Anomaly>,
}

impl<'a> Checker<'a> {
    fn add(&mut self, kind: Kind, what: String) {
        self.found.push(Anomaly { kind, real_time: false, what });
    }

    fn note_writers(&mut self) {
        for (index, txn) in self.history.iter().enumerate() {
            for append in txn.appends() {
                if self.writers.insert(append, index).is_some() {
                    self.add(Kind::Garbage, format!("{append:?} is appended twice"));
                }
            }
        }
    }

    fn reads(&self) -> impl Iterator<Item = (usize, Key, &'a [u64])> + use<'a> {
        let lived = self.history.iter().enumerate().filter(|(_, txn)| txn.outcome == End::Committed);
        lived.flat_map(|(index, txn)| txn.outer_reads().map(move |(key, list)| (index, key, list)))
    }

    fn note_orders(&mut self) {
        for (_, key, list) in self.reads() {
            let longest = self.orders.entry(key).or_insert(list);
            if list.len() > longest.len() {
                *longest = list;
            }
        }
    }

    fn check_reads(&mut self) {
        for (index, key, list) in self.reads() {
            if !self.orders[&key].starts_with(list) {
                self.add(Kind::IncompatibleOrder, format!("list {key} in transaction {index}"));
            }
            let mut sorted = list.to_vec();
            sorted.sort_unstable();
            sorted.dedup();
            if sorted.len() != list.len() {
                self.add(Kind::Garbage, format!("list {key} in transaction {index} has a number twice"));
            }
            for &value in list {
                match self.writers.get(&(key, value)) {
                    None => self.add(Kind::Garbage, format!("{value} in list {key} was never appended")),
                    Some(&writer) if self.history[writer].outcome == End::Aborted => {
                        self.add(Kind::G1a, format!("{value} in list {key}, read by {index}"));
                    }
                    Some(_) => {}
                }
            }
            if let Some(&last) = list.last()
                && let Some(&writer) = self.writers.get(&(key, last))
                && writer != index
                && self.history[writer].appends().filter(|append| append.0 == key).last() != Some((key, last))
            {
                self.add(Kind::G1b, format!("{last} in list {key}, read by {index}"));
            }
        }
        for index in 0..self.history.len() {
            self.check_internal(index);
        }
    }

    /// Within a transaction, a list is what it was plus what was appended since.
    fn check_internal(&mut self, index: usize) {
        let mut known: BTreeMap<Key, (Option<Vec<u64>>, Vec<u64>)> = BTreeMap::new();
        for op in &self.history[index].ops {
            match op {
                Op::Append(key, value) => known.entry(*key).or_default().1.push(*value),
                Op::Read(key, list) => {
                    let (before, own) = known.entry(*key).or_default();
                    let right = match before {
                        Some(before) => *list == [&before[..], &own[..]].concat(),
                        None => list.ends_with(own),
                    };
                    (*before, *own) = (Some(list.clone()), Vec::new());
                    if !right {
                        self.add(Kind::Internal, format!("list {key} in transaction {index}"));
                        return;
                    }
                }
            }
        }
    }

    fn check_lost(&mut self) {
        let mut last_read: BTreeMap<Key, u64> = BTreeMap::new();
        for (index, key, _) in self.reads() {
            let begin = last_read.entry(key).or_default();
            *begin = self.history[index].begin.max(*begin);
        }
        let writers: Vec<_> = self.writers.iter().map(|(&append, &index)| (append, index)).collect();
        for ((key, value), index) in writers {
            let txn = &self.history[index];
            let read_later = last_read.get(&key).is_some_and(|&begin| begin > txn.end);
            if txn.outcome == End::Committed && read_later && !self.orders[&key].contains(&value) {
                self.add(Kind::LostAppend, format!("{value} in list {key}, appended by {index}"));
            }
        }
    }

    fn graph(&self) -> Graph {
        let mut graph = Graph::new(self.history.len());
        for (key, order) in &self.orders {
            let writer = |value: u64| self.writers.get(&(*key, value)).copied();
            for pair in order.windows(2) {
                if let (Some(from), Some(to)) = (writer(pair[0]), writer(pair[1])) {
                    graph.add(from, to, Edge::WriteWrite);
                }
            }
        }
        for (index, key, list) in self.reads() {
            let writer = |value: &u64| self.writers.get(&(key, *value)).copied();
            if let Some(from) = list.last().and_then(writer) {
                graph.add(from, index, Edge::WriteRead);
            }
            if let Some(to) = self.orders[&key].get(list.len()).and_then(writer) {
                graph.add(index, to, Edge::ReadWrite);
            }
        }
        self.add_real_time(&mut graph);
        graph
    }

    /// An edge from each transaction to those that began after its end, but for what follows from others.
    fn add_real_time(&self, graph: &mut Graph) {
        let lived = self.history.iter().enumerate().filter(|(_, txn)| txn.outcome == End::Committed);
        let mut moments: Vec<(u64, bool, usize)> =
            lived.flat_map(|(index, txn)| [(txn.begin, true, index), (txn.end, false, index)]).collect();
        moments.sort_unstable();
        let mut frontier: Vec<usize> = Vec::new();
        let mut before: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (_, begins, index) in moments {
            if begins {
                for &earlier in &frontier {
                    graph.add(earlier, index, Edge::RealTime);
                }
                before.insert(index, frontier.clone());
            } else {
                let implied = before.remove(&index).unwrap_or_default();
                frontier.retain(|earlier| !implied.contains(earlier));
                frontier.push(index);
            }
        }
    }

    fn check_cycles(&mut self, graph: &Graph) {
        for real_time in [false, true] {
            let uses = |edge: Edge| real_time || edge != Edge::RealTime;
            let writes = graph.cycle(|edge| edge == Edge::WriteWrite || real_time && edge == Edge::RealTime);
            let reads = graph.cycle(|edge| uses(edge) && edge != Edge::ReadWrite);
            let snapshot = graph.snapshot_cycle(uses);
            let any = graph.cycle(uses);
            let (kind, nodes) = if !writes.is_empty() {
                (Kind::G0, writes)
            } else if !reads.is_empty() {
                (Kind::G1c, reads)
            } else if !snapshot.is_empty() && graph.has_single(&snapshot, uses) {
                (Kind::GSingle, snapshot)
            } else if !snapshot.is_empty() {
                (Kind::GNonadjacent, snapshot)
            } else if !any.is_empty() {
                (Kind::G2, any)
            } else {
                continue;
            };
            let shown: Vec<_> = nodes.iter().take(6).map(|&node| (node, &self.history[node].ops)).collect();
            let what = format!("{} transactions, among them {shown:?}", nodes.len());
            self.found.push(Anomaly { kind, real_time, what });
        }
    }
}
