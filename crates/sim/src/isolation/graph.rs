//! A graph of transactions, and its cycles.

/// Why one transaction comes before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Edge {
    /// It appended to a list what comes right before.
    WriteWrite,
    /// It appended what the other read last.
    WriteRead,
    /// It read a list as it was before the other appended.
    ReadWrite,
    /// It had ended before the other began.
    RealTime,
}

/// The graph: for each node the edges that leave it.
#[derive(Debug, Default)]
pub struct Graph {
    edges: Vec<Vec<(usize, Edge)>>,
}

impl Graph {
    /// A graph without edges.
    pub fn new(nodes: usize) -> Self {
        Self { edges: vec![Vec::new(); nodes] }
    }

    /// Adds an edge; none from a node to itself.
    pub fn add(&mut self, from: usize, to: usize, edge: Edge) {
        if from != to {
            self.edges[from].push((to, edge));
        }
    }

    /// Nodes on cycles of the edges that `uses` lets through, of one such group of cycles; empty if there are none.
    pub fn cycle(&self, uses: impl Fn(Edge) -> bool) -> Vec<usize> {
        let next = |node: usize| {
            self.edges[node].iter().filter(|(_, edge)| uses(*edge)).map(|&(to, _)| to).collect()
        };
        component(self.edges.len(), next)
    }

    /// As [`Graph::cycle`], for cycles in which no two edges of reads before writes follow one another. These are the
    /// cycles that snapshot isolation forbids.
    pub fn snapshot_cycle(&self, uses: impl Fn(Edge) -> bool) -> Vec<usize> {
        // Each node twice: even if it was not reached by a read before a write, odd if it was.
        let next = |place: usize| {
            let (node, after_read) = (place / 2, place % 2 == 1);
            let edges = self.edges[node].iter().filter(|(_, edge)| uses(*edge));
            let usable = edges.filter(|(_, edge)| !(after_read && *edge == Edge::ReadWrite));
            usable.map(|&(to, edge)| to * 2 + usize::from(edge == Edge::ReadWrite)).collect()
        };
        let mut nodes: Vec<usize> =
            component(self.edges.len() * 2, next).into_iter().map(|place| place / 2).collect();
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    }

    /// Whether some cycle has exactly one edge of a read before a write.
    pub fn has_single(&self, nodes: &[usize], uses: impl Fn(Edge) -> bool) -> bool {
        let plain = |edge: Edge| uses(edge) && edge != Edge::ReadWrite;
        nodes.iter().any(|&from| {
            let reads = self.edges[from].iter().filter(|(_, edge)| *edge == Edge::ReadWrite);
            reads.into_iter().any(|&(to, _)| self.reaches(to, from, plain))
        })
    }

    fn reaches(&self, from: usize, to: usize, uses: impl Fn(Edge) -> bool) -> bool {
        let mut seen = vec![false; self.edges.len()];
        let mut todo = vec![from];
        while let Some(node) = todo.pop() {
            if node == to {
                return true;
            }
            if !std::mem::replace(&mut seen[node], true) {
                todo.extend(self.edges[node].iter().filter(|(_, edge)| uses(*edge)).map(|&(to, _)| to));
            }
        }
        false
    }
}

const UNSEEN: usize = usize::MAX;

/// A strongly connected component with more than one node, by Tarjan's algorithm without recursion.
fn component(nodes: usize, next: impl Fn(usize) -> Vec<usize>) -> Vec<usize> {
    let (mut index, mut low) = (vec![UNSEEN; nodes], vec![UNSEEN; nodes]);
    let mut on_stack = vec![false; nodes];
    let (mut stack, mut count) = (Vec::new(), 0);
    for root in 0..nodes {
        if index[root] != UNSEEN {
            continue;
        }
        let mut path: Vec<(usize, Vec<usize>)> = Vec::new();
        let mut enter = Some(root);
        loop {
            if let Some(node) = enter.take() {
                (index[node], low[node]) = (count, count);
                count += 1;
                stack.push(node);
                on_stack[node] = true;
                path.push((node, next(node)));
            }
            let Some((node, left)) = path.last_mut() else { break };
            let node = *node;
            if let Some(to) = left.pop() {
                if index[to] == UNSEEN {
                    enter = Some(to);
                } else if on_stack[to] {
                    low[node] = low[node].min(index[to]);
                }
                continue;
            }
            path.pop();
            if let Some((parent, _)) = path.last() {
                low[*parent] = low[*parent].min(low[node]);
            }
            if low[node] == index[node] {
                let begin = stack.iter().rposition(|&member| member == node).unwrap_or_default();
                let members = stack.split_off(begin);
                if members.len() > 1 {
                    return members;
                }
                on_stack[node] = false;
            }
        }
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(edges: &[(usize, usize, Edge)]) -> Graph {
        let mut graph = Graph::new(5);
        for &(from, to, edge) in edges {
            graph.add(from, to, edge);
        }
        graph
    }

    #[test]
    fn cycles_are_found_and_told_apart() {
        use Edge::{ReadWrite, WriteRead, WriteWrite};
        let all = |_| true;
        let none = graph(&[(0, 1, WriteWrite), (1, 2, ReadWrite), (0, 2, WriteRead)]);
        assert!(none.cycle(all).is_empty() && none.snapshot_cycle(all).is_empty());
        let single = graph(&[(0, 1, WriteRead), (1, 2, WriteWrite), (2, 0, ReadWrite)]);
        assert_eq!((single.cycle(all).len(), single.snapshot_cycle(all).len()), (3, 3));
        assert!(single.has_single(&[0, 1, 2], all) && single.cycle(|edge| edge == WriteWrite).is_empty());
        let skew = graph(&[(0, 1, ReadWrite), (1, 0, ReadWrite)]);
        assert_eq!((skew.cycle(all).len(), skew.snapshot_cycle(all).len()), (2, 0));
        let apart = graph(&[(0, 1, ReadWrite), (1, 2, WriteRead), (2, 3, ReadWrite), (3, 0, WriteWrite)]);
        assert_eq!(apart.snapshot_cycle(all).len(), 4);
        assert!(!apart.has_single(&[0, 1, 2, 3], all));
    }
}
