//! What the functions of a file do that matters here: where they touch files, what they call, and on which thread.

use std::collections::BTreeSet;

use syn::{
    Attribute, Block, Expr, ExprClosure, Pat, Signature, Stmt, Token,
    punctuated::Punctuated,
    spanned::Spanned,
    visit::{self, Visit},
};

use super::{
    aside::{SPAWN, given, runs_aside},
    paths::{Full, Paths},
    select::Select,
};

/// A function with a body.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) file: String,
    pub(super) module: Full,
    /// The type whose `impl` it stands in.
    pub(super) owner: Option<String>,
    pub(super) name: String,
    pub(super) is_async: bool,
    pub(super) acts: Vec<Act>,
}

/// Something that a function does.
#[derive(Debug)]
pub(super) struct Act {
    pub(super) line: usize,
    pub(super) what: What,
    /// In an `async` body or block: on a thread of the runtime.
    pub(super) is_async: bool,
}

#[derive(Debug)]
pub(super) enum What {
    /// Waits for a disk, or sleeps.
    Blocks(String),
    /// Calls a function by its path.
    Calls(Full),
    /// Calls a method; of its own type if the flag is set.
    Method(String, bool),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Sync,
    Async,
    /// On a thread that may wait.
    Aside,
}

/// Methods without parameters that ask the disk.
const METHODS: &[&str] = &[
    "exists",
    "try_exists",
    "is_file",
    "is_dir",
    "is_symlink",
    "metadata",
    "symlink_metadata",
    "canonicalize",
    "read_dir",
    "read_link",
    "sync_all",
    "sync_data",
];

/// Methods with one that write to it.
const CHANGES: &[&str] = &["set_len", "set_modified", "set_times", "set_permissions"];

/// What only prepares a call of the disk, or asks what was read before.
const HARMLESS: &[&str] = &["new", "options", "from_mode", "from", "from_parts"];

pub(super) struct Walk<'a> {
    file: &'a str,
    paths: &'a Paths,
    /// Functions of this repository that run a closure aside.
    aside: &'a BTreeSet<String>,
    owner: Option<String>,
    place: Place,
    /// Closures that this function first names and then gives away to run aside.
    given: BTreeSet<String>,
    /// Variables that hold the options of a file.
    options: BTreeSet<String>,
    open: Vec<Function>,
    pub(super) functions: Vec<Function>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(file: &'a str, paths: &'a Paths, aside: &'a BTreeSet<String>) -> Self {
        Self {
            file,
            paths,
            aside,
            owner: None,
            place: Place::Sync,
            given: BTreeSet::new(),
            options: BTreeSet::new(),
            open: Vec::new(),
            functions: Vec::new(),
        }
    }

    fn act(&mut self, at: &impl Spanned, what: What) {
        if self.place == Place::Aside {
            return;
        }
        let is_async = self.place == Place::Async;
        let act = Act { line: at.span().start().line, what, is_async };
        if let Some(function) = self.open.last_mut() {
            function.acts.push(act);
        }
    }

    fn within(&mut self, place: Place, work: impl FnOnce(&mut Self)) {
        let before = std::mem::replace(&mut self.place, place);
        work(self);
        self.place = before;
    }

    fn function(&mut self, signature: &Signature, body: &Block) {
        let is_async = signature.asyncness.is_some();
        self.open.push(Function {
            file: self.file.to_owned(),
            module: self.paths.module.clone(),
            owner: self.owner.clone(),
            name: signature.ident.to_string(),
            is_async,
            acts: Vec::new(),
        });
        let given = std::mem::replace(&mut self.given, given(body, self.aside));
        let place = if is_async { Place::Async } else { Place::Sync };
        self.within(place, |walk| walk.visit_block(body));
        self.given = given;
        self.functions.extend(self.open.pop());
    }

    /// A call's parameters; closures among them run aside if it is `aside` that is called.
    fn parameters(&mut self, parameters: &Punctuated<Expr, Token![,]>, aside: bool) {
        for parameter in parameters {
            match parameter {
                Expr::Closure(closure) if aside => {
                    self.within(Place::Aside, |walk| walk.visit_expr_closure(closure));
                }
                // `{ let copy = it.clone(); move || .. }`
                Expr::Block(block) if aside => match block.block.stmts.split_last() {
                    Some((Stmt::Expr(Expr::Closure(closure), None), before)) => {
                        before.iter().for_each(|statement| self.visit_stmt(statement));
                        self.within(Place::Aside, |walk| walk.visit_expr_closure(closure));
                    }
                    _ => self.visit_expr_block(block),
                },
                other => self.visit_expr(other),
            }
        }
    }

    fn call(&mut self, call: &syn::ExprCall, awaited: bool) {
        let Expr::Path(path) = &*call.func else {
            self.visit_expr(&call.func);
            return self.parameters(&call.args, false);
        };
        let full = self.paths.full(&path.path, self.owner.as_deref());
        let aside = runs_aside(&path.path, self.aside);
        if blocks(&full) {
            self.act(call, What::Blocks(full[full.len() - 2..].join("::")));
        } else if !awaited && !aside {
            self.act(call, What::Calls(full));
        }
        self.parameters(&call.args, aside);
    }

    fn method(&mut self, call: &syn::ExprMethodCall, awaited: bool) {
        self.visit_expr(&call.receiver);
        let name = call.method.to_string();
        let aside = self.aside.contains(&name) || name == SPAWN;
        let asked = match call.args.len() {
            0 => METHODS.contains(&name.as_str()),
            1 => CHANGES.contains(&name.as_str()),
            _ => false,
        };
        if asked && !awaited && !is_known(&call.receiver) {
            self.act(&call.method, What::Blocks(name));
        } else if self.opens(call) && !awaited {
            self.act(&call.method, What::Blocks(format!("OpenOptions::{name}")));
        } else if !awaited && !asked && !aside {
            let own = matches!(&*call.receiver, Expr::Path(path) if path.path.is_ident("self"));
            self.act(&call.method, What::Method(name, own));
        }
        self.parameters(&call.args, aside);
    }

    /// The end of a chain that began with the options of a file or folder of `std`.
    fn opens(&self, call: &syn::ExprMethodCall) -> bool {
        if call.method != "open" && call.method != "create" || call.args.len() != 1 {
            return false;
        }
        match root(&call.receiver) {
            Expr::Path(path) => {
                path.path.get_ident().is_some_and(|name| self.options.contains(&name.to_string()))
            }
            Expr::Call(first) => match &*first.func {
                Expr::Path(path) => is_std_fs(&self.paths.full(&path.path, None)),
                _ => false,
            },
            _ => false,
        }
    }
}

/// Where a chain of calls begins.
fn root(expr: &Expr) -> &Expr {
    match expr {
        Expr::MethodCall(call) => root(&call.receiver),
        other => other,
    }
}

/// Whether the path is a function that waits for a disk, or sleeps.
fn blocks(full: &[String]) -> bool {
    let parts: Vec<&str> = full.iter().map(String::as_str).collect();
    match parts.as_slice() {
        ["std", "thread", "sleep"] | ["rustix", "fs", "syncfs" | "fsync" | "fdatasync"] => true,
        ["std", "path", "Path" | "PathBuf", name] => METHODS.contains(name),
        [.., name] => is_std_fs(full) && !HARMLESS.contains(name),
        [] => false,
    }
}

fn is_std_fs(full: &[String]) -> bool {
    full.len() > 2 && full[0] == "std" && full[1] == "fs"
}

/// `entry.file_type()?.is_dir()`: what was asked before says it.
fn is_known(receiver: &Expr) -> bool {
    match receiver {
        Expr::Try(inner) => is_known(&inner.expr),
        Expr::Await(_) => true,
        Expr::MethodCall(call) => {
            matches!(
                call.method.to_string().as_str(),
                "file_type" | "metadata" | "symlink_metadata"
            )
        }
        Expr::Call(call) => matches!(&*call.func, Expr::Path(path)
            if path.path.segments.last().is_some_and(|last| last.ident.to_string().ends_with("metadata"))),
        Expr::Path(path) => path.path.get_ident().is_some_and(|name| {
            matches!(name.to_string().as_str(), "kind" | "meta" | "metadata" | "file_type" | "info")
        }),
        _ => false,
    }
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || attribute.path().segments.last().is_some_and(|last| last.ident == "test")
            || attribute.path().is_ident("cfg")
                && attribute.meta.require_list().is_ok_and(|list| {
                    let text = list.tokens.to_string();
                    text.contains("test") && !text.contains("not")
                })
    })
}

impl<'ast> Visit<'ast> for Walk<'_> {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_test(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        if is_test(&item.attrs) {
            return;
        }
        let owner = match &*item.self_ty {
            syn::Type::Path(path) => path.path.segments.last().map(|part| part.ident.to_string()),
            _ => None,
        };
        let before = std::mem::replace(&mut self.owner, owner);
        visit::visit_item_impl(self, item);
        self.owner = before;
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        let before = self.owner.replace(item.ident.to_string());
        visit::visit_item_trait(self, item);
        self.owner = before;
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if !is_test(&item.attrs) {
            let owner = self.owner.take();
            self.function(&item.sig, &item.block);
            self.owner = owner;
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !is_test(&item.attrs) {
            self.function(&item.sig, &item.block);
        }
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(body) = &item.default {
            self.function(&item.sig, body);
        }
    }

    fn visit_expr_async(&mut self, expr: &'ast syn::ExprAsync) {
        // A thread of its own that drives a future may wait in it.
        let place = if self.place == Place::Aside { Place::Aside } else { Place::Async };
        self.within(place, |walk| visit::visit_expr_async(walk, expr));
    }

    fn visit_expr_closure(&mut self, closure: &'ast ExprClosure) {
        let place = if closure.asyncness.is_some() { Place::Async } else { self.place };
        self.within(place, |walk| visit::visit_expr_closure(walk, closure));
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        if let (Pat::Ident(pat), Some(init)) = (&local.pat, &local.init)
            && let Expr::Call(call) = root(&init.expr)
            && let Expr::Path(path) = &*call.func
            && is_std_fs(&self.paths.full(&path.path, None))
            && !blocks(&self.paths.full(&path.path, None))
        {
            self.options.insert(pat.ident.to_string());
        }
        if let (Pat::Ident(pat), Some(init)) = (&local.pat, &local.init)
            && matches!(&*init.expr, Expr::Closure(_))
            && self.given.contains(&pat.ident.to_string())
        {
            self.within(Place::Aside, |walk| visit::visit_local(walk, local));
        } else {
            visit::visit_local(self, local);
        }
    }

    fn visit_expr_await(&mut self, expr: &'ast syn::ExprAwait) {
        match &*expr.base {
            Expr::Call(call) => self.call(call, true),
            Expr::MethodCall(call) => self.method(call, true),
            _ => visit::visit_expr_await(self, expr),
        }
    }

    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        self.call(call, false);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        self.method(call, false);
    }

    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        if let Ok(Select(parts)) = mac.parse_body() {
            parts.iter().for_each(|part| self.visit_expr(part));
        } else if let Ok(parts) =
            mac.parse_body_with(Punctuated::<Expr, Token![,]>::parse_terminated)
        {
            parts.iter().for_each(|part| self.visit_expr(part));
        }
    }
}
