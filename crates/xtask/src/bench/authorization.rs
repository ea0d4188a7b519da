//! `cargo xtask bench-authorization`: how long the decision takes whether a caller may do something, when there are
//! many role assignments, many roles, or a role that its author made as expensive as possible.

use std::{fs, hint::black_box, path::Path, sync::Arc, time::Instant};

use authorization::{
    Grant, Locks, Need, Pattern, Permission, Principal, Rights, Role, Scope, Visible, Wanted,
    built_in,
};
use serde_json::{Value, json};

use super::write;
use crate::Result;

const LIMIT_US: f64 = 50.0;
const ASSIGNMENTS: usize = 10_000;
const PRINCIPALS: usize = 500;
/// How often each figure is measured; a list of everything visible is much longer than a decision.
const DECISIONS: usize = 100_000;
const LISTS: usize = 200;

const READ: &str = "Microsoft.VirtualMachineImages/imageTemplates/read";
const DELETE: &str = "Microsoft.VirtualMachineImages/imageTemplates/delete";
const SUBSCRIPTION: &str = "/subscriptions/00000000-1111-2222-3333-444444444444";

/// Whose rights are measured, and on what.
struct Scenario {
    name: &'static str,
    rights: Vec<Rights>,
    scopes: Vec<Scope>,
    /// Each decision asks one of these.
    wanted: Vec<Wanted>,
}

/// The 50th and 99th of 100, in microseconds.
struct Percentiles {
    p50: f64,
    p99: f64,
}

struct Measured {
    name: &'static str,
    check: Percentiles,
    visible: Percentiles,
    /// One scope of a list.
    has: Percentiles,
    granted: f64,
}

pub(crate) fn run(repository: &Path) -> Result<()> {
    if cfg!(debug_assertions) {
        return Err(
            "a debug build measures nothing of interest: make bench-authorization".to_owned()
        );
    }
    let measured: Vec<Measured> =
        scenarios()?.iter().map(|scenario| scenario.measure()).collect::<Result<_>>()?;
    println!(
        "{:<44}{:>18}{:>20}{:>18}{:>9}",
        "microseconds", "decision", "visible scopes", "item of a list", "granted"
    );
    println!(
        "{:<44}{:>9}{:>9}{:>10}{:>10}{:>9}{:>9}",
        "", "p50", "p99", "p50", "p99", "p50", "p99"
    );
    for Measured { name, check, visible, has, granted } in &measured {
        println!(
            "{name:<44}{:>9.2}{:>9.2}{:>10.1}{:>10.1}{:>9.2}{:>9.2}{:>8.0}%",
            check.p50,
            check.p99,
            visible.p50,
            visible.p99,
            has.p50,
            has.p99,
            granted * 100.0
        );
    }
    let worst = measured.iter().map(|one| one.check.p99).fold(0.0, f64::max);
    let kept = worst < LIMIT_US;
    println!(
        "slowest p99 of a decision {worst:.2} µs, limit {LIMIT_US} {}",
        if kept { "ok" } else { "over" }
    );
    let dir = repository.join("target/bench");
    fs::create_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let path = dir.join("authorization.json");
    let scenarios: Vec<Value> = measured.iter().map(Measured::json).collect();
    let result =
        json!({ "scenarios": scenarios, "limitUs": LIMIT_US, "worstP99Us": worst, "ok": kept });
    write(&path, &format!("{result:#}\n"))?;
    println!("written: {}", path.display());
    if kept { Ok(()) } else { Err("the limit is not kept".to_owned()) }
}

impl Measured {
    fn json(&self) -> Value {
        let us = |one: &Percentiles| json!({ "p50Us": one.p50, "p99Us": one.p99 });
        json!({
            "name": self.name, "check": us(&self.check), "visible": us(&self.visible),
            "has": us(&self.has), "granted": self.granted,
        })
    }
}

impl Scenario {
    fn measure(&self) -> Result<Measured> {
        let mut random = Random(1);
        let mut granted = 0;
        let check = percentiles(DECISIONS, |clock| {
            let rights = random.one_of(&self.rights);
            let scope = random.one_of(&self.scopes).clone();
            let need = Need::new(random.one_of(&self.wanted).clone(), scope);
            let decided = clock.measure(|| rights.check(&need));
            granted += usize::from(decided.is_ok());
        });
        let below = Scope::parse(SUBSCRIPTION);
        let visible = percentiles(LISTS, |clock| {
            let rights = random.one_of(&self.rights);
            clock.measure(|| rights.visible(&self.wanted[0], &below));
        });
        let lists: Vec<Visible> =
            self.rights.iter().map(|rights| rights.visible(&self.wanted[0], &below)).collect();
        let has = percentiles(DECISIONS, |clock| {
            let (list, scope) = (random.one_of(&lists), random.one_of(&self.scopes));
            clock.measure(|| list.has(scope));
        });
        // A scenario without a grant, or without a refusal, would measure something else than it says.
        if granted == 0 && self.name != WORST {
            return Err(format!("{}: nothing was granted", self.name));
        }
        Ok(Measured {
            name: self.name,
            check,
            visible,
            has,
            granted: granted as f64 / DECISIONS as f64,
        })
    }
}

const WORST: &str = "worst patterns, refused";

fn scenarios() -> Result<Vec<Scenario>> {
    let both = || vec![Wanted::action(READ), Wanted::action(DELETE)];
    let scopes: Vec<Scope> = (0..ASSIGNMENTS).map(|at| Scope::parse(&template(at))).collect();
    let many = (0..PRINCIPALS).map(|principal| {
        let own = (principal..ASSIGNMENTS).step_by(PRINCIPALS);
        let role =
            |at: usize| built_in(if at.is_multiple_of(3) { "Contributor" } else { "Reader" });
        own.map(|at| Ok((Scope::parse(&group(at)), grant(role(at)?))))
            .collect::<Result<_>>()
            .map(rights)
    });
    let many = many.collect::<Result<_>>()?;
    let reader = built_in("Reader")?;
    let one = scopes.iter().step_by(2).chain(&scopes).take(ASSIGNMENTS);
    let one = one.map(|scope| (scope.clone(), grant(Arc::clone(&reader)))).collect();
    let subscription = Scope::parse(SUBSCRIPTION);
    let roles = (0..200).map(|at| Ok((subscription.clone(), grant(custom(at)?))));
    let roles = roles.collect::<Result<_>>()?;
    let worst = vec![(subscription, grant(worst()?))];
    let name = format!("a/{}", "a".repeat(200));
    Ok(vec![
        Scenario {
            name: "10,000 assignments of 500 principals",
            rights: many,
            scopes: scopes.clone(),
            wanted: both(),
        },
        Scenario {
            name: "10,000 assignments of one principal",
            rights: vec![rights(one)],
            scopes: scopes.clone(),
            wanted: both(),
        },
        Scenario {
            name: "200 custom roles at one scope",
            rights: vec![rights(roles)],
            scopes: scopes.clone(),
            wanted: both(),
        },
        Scenario {
            name: WORST,
            rights: vec![rights(worst)],
            scopes,
            wanted: vec![Wanted::Action(name.into())],
        },
    ])
}

fn group(at: usize) -> String {
    format!("{SUBSCRIPTION}/resourceGroups/images-{}", at / 4)
}

fn template(at: usize) -> String {
    format!("{}/providers/Microsoft.VirtualMachineImages/imageTemplates/web-{at}", group(at))
}

fn rights(grants: Vec<(Scope, Grant)>) -> Rights {
    Rights::new(Principal::default(), grants, Arc::new(Locks::default()))
}

fn grant(role: Arc<Role>) -> Grant {
    Grant { assignment: "assignment".into(), role, condition: None }
}

fn built_in(name: &str) -> Result<Arc<Role>> {
    built_in::named(name).map(|role| role.role()).ok_or(format!("no role {name}"))
}

/// A role of a client with 25 patterns near the actions that are asked. The last of 200 such roles permits reading.
fn custom(at: usize) -> Result<Arc<Role>> {
    let mut actions: Vec<String> = (0..20)
        .map(|kind| {
            format!("Microsoft.VirtualMachineImages/imageTemplates/part{kind}of{at}/*/read")
        })
        .collect();
    if at == 199 {
        actions.push(READ.to_owned());
    }
    let except: Vec<String> = (0..5).map(|kind| format!("*/part{kind}/delete")).collect();
    role(&actions, &except)
}

/// A role that asks for all that a matcher could do twice.
fn worst() -> Result<Arc<Role>> {
    let backtracking = format!("a/{}b", "*a".repeat(100));
    let overlapping = format!("a/*{}b*", "a".repeat(190));
    role(&[vec![backtracking; 8], vec![overlapping; 8]].concat(), &[])
}

fn role(actions: &[String], except: &[String]) -> Result<Arc<Role>> {
    let read = |texts: &[String]| -> Result<Vec<Pattern>> {
        texts.iter().map(|text| Pattern::parse(text).map_err(|error| error.to_string())).collect()
    };
    let permission =
        Permission { actions: read(actions)?, not_actions: read(except)?, ..Permission::default() };
    Ok(Arc::new(Role {
        id: "role".to_owned(),
        name: "role".to_owned(),
        permissions: vec![permission],
    }))
}

/// Measures one thing, in microseconds.
#[derive(Default)]
struct Clock(Vec<f64>);

impl Clock {
    fn measure<T>(&mut self, one: impl FnOnce() -> T) -> T {
        let begin = Instant::now();
        let result = black_box(one());
        self.0.push(begin.elapsed().as_secs_f64() * 1e6);
        result
    }
}

fn percentiles(runs: usize, mut one: impl FnMut(&mut Clock)) -> Percentiles {
    let mut clock = Clock::default();
    for _ in 0..runs {
        one(&mut clock);
    }
    clock.0.sort_by(f64::total_cmp);
    let at = |percent: usize| clock.0[(clock.0.len() * percent / 100).min(clock.0.len() - 1)];
    Percentiles { p50: at(50), p99: at(99) }
}

/// The same numbers in every run (xorshift).
struct Random(u64);

impl Random {
    fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        &all[usize::try_from(self.0 >> 16).unwrap_or_default() % all.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_grant_and_refuse_as_they_say() {
        let ok = |scenario: &Scenario, wanted: &Wanted| {
            let check = |rights: &Rights, scope: &Scope| {
                rights.check(&Need::new(wanted.clone(), scope.clone())).is_ok()
            };
            scenario.rights.iter().zip(&scenario.scopes).filter(|(r, s)| check(r, s)).count()
        };
        let [many, one, roles, worst] = &scenarios().unwrap()[..] else { panic!() };
        assert_eq!(many.rights.len(), PRINCIPALS);
        assert!(ok(many, &many.wanted[0]) > ok(many, &many.wanted[1]));
        for scenario in [one, roles] {
            assert_eq!(
                (ok(scenario, &scenario.wanted[0]), ok(scenario, &scenario.wanted[1])),
                (1, 0)
            );
        }
        assert_eq!(ok(worst, &worst.wanted[0]), 0);
    }

    #[test]
    fn percentiles_are_those_of_all_runs() {
        let Percentiles { p50, p99 } = percentiles(100, |clock| clock.0.push(clock.0.len() as f64));
        assert_eq!((p50, p99), (50.0, 99.0));
    }
}
