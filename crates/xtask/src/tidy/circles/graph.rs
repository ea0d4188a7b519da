//! A graph of references between modules, and its circles.

use std::collections::{BTreeMap, BTreeSet};

/// The references, each with the first line that contains it.
#[derive(Debug, Default)]
pub(super) struct Graph {
    arrows: BTreeMap<String, BTreeMap<String, String>>,
}

impl Graph {
    pub(super) fn add(&mut self, from: &str, to: &str, place: String) {
        self.arrows.entry(from.to_owned()).or_default().entry(to.to_owned()).or_insert(place);
    }

    /// Each circle, as the references among modules that reach one another.
    pub(super) fn circles(&self) -> Vec<String> {
        let reach: BTreeMap<&str, BTreeSet<&str>> =
            self.arrows.keys().map(|from| (from.as_str(), self.reached(from))).collect();
        let mut reported = BTreeSet::new();
        let mut circles = Vec::new();
        for (from, reached) in &reach {
            if !reached.contains(from) || reported.contains(from) {
                continue;
            }
            let back = |to: &&str| reach.get(to).is_some_and(|reached| reached.contains(from));
            let circle: BTreeSet<&str> = reached.iter().copied().filter(back).collect();
            reported.extend(circle.iter().copied());
            circles.push(self.among(&circle));
        }
        circles
    }

    fn reached(&self, from: &str) -> BTreeSet<&str> {
        let mut reached = BTreeSet::new();
        let mut open: Vec<&str> = self.next(from).collect();
        while let Some(at) = open.pop() {
            if reached.insert(at) {
                open.extend(self.next(at));
            }
        }
        reached
    }

    fn next(&self, from: &str) -> impl Iterator<Item = &str> {
        self.arrows.get(from).into_iter().flat_map(|to| to.keys().map(String::as_str))
    }

    fn among(&self, circle: &BTreeSet<&str>) -> String {
        let mut arrows = Vec::new();
        for from in circle {
            for (to, place) in &self.arrows[*from] {
                if circle.contains(to.as_str()) {
                    arrows.push(format!("{from} → {to} ({place})"));
                }
            }
        }
        arrows.join(", ")
    }
}
