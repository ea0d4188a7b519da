//! Collects the relevant actions of a file's functions: disk access and calls, and on which thread.

use std::collections::BTreeSet;

use syn::{
    Attribute, Block, Expr, ExprClosure, Pat, Signature, Stmt, Token,
    punctuated::Punctuated,
    spanned::Spanned,
    visit::{self, Visit},
};

use super::{
    aside::{SPAWN, passed, runs_aside},
    paths::{Full, Paths},
    select::Select,
};

/// A function with a body.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) file: String,
    pub(super) module: Full,
    /// The type of the enclosing `impl`.
    pub(super) owner: Option<String>,
    pub(super) name: String,
    pub(super) is_async: bool,
    pub(super) acts: Vec<Act>,
}

/// An action of a function.
#[derive(Debug)]
pub(super) struct Act {
    pub(super) line: usize,
    pub(super) what: What,
    /// Whether it is in an `async` body or block, so that it runs on a thread of the runtime.
    pub(super) is_async: bool,
}

#[derive(Debug)]
pub(super) enum What {
    /// Waits for a disk, or sleeps.
    Blocks(String),
    /// Calls a function by its path.
    Calls(Full),
    /// Calls a method; the flag means a method of the same type.
    Method(String, bool),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Thread {
    Sync,
    Async,
    /// On a thread that may block.
    Aside,
}

/// Methods without parameters that read from the disk.
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

/// Methods with one parameter that write to the disk.
const CHANGES: &[&str] = &["set_len", "set_modified", "set_times", "set_permissions"];

/// Functions that only prepare a disk access, or use data that is in memory.
const HARMLESS: &[&str] = &["new", "options", "from_mode", "from", "from_parts"];

pub(super) struct Walk<'a> {
    file: &'a str,
    paths: &'a Paths,
    /// Functions of this repository that run a closure on another thread.
    aside: &'a BTreeSet<String>,
    owner: Option<String>,
    thread: Thread,
    /// Named closures that this function passes to another thread.
    passed: BTreeSet<String>,
    /// Variables that contain the options of a file.
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
            thread: Thread::Sync,
            passed: BTreeSet::new(),
            options: BTreeSet::new(),
            open: Vec::new(),
            functions: Vec::new(),
        }
    }

    fn act(&mut self, at: &impl Spanned, what: What) {
        if self.thread == Thread::Aside {
            return;
        }
        let is_async = self.thread == Thread::Async;
        let act = Act { line: at.span().start().line, what, is_async };
        if let Some(function) = self.open.last_mut() {
            function.acts.push(act);
        }
    }

    fn within(&mut self, thread: Thread, work: impl FnOnce(&mut Self)) {
        let before = std::mem::replace(&mut self.thread, thread);
        work(self);
        self.thread = before;
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
        let outer = std::mem::replace(&mut self.passed, passed(body, self.aside));
        let thread = if is_async { Thread::Async } else { Thread::Sync };
        self.within(thread, |walk| walk.visit_block(body));
        self.passed = outer;
        self.functions.extend(self.open.pop());
    }

    /// Visits a call's arguments. With `aside`, closures among them run on another thread.
    fn parameters(&mut self, parameters: &Punctuated<Expr, Token![,]>, aside: bool) {
        for parameter in parameters {
            match parameter {
                Expr::Closure(closure) if aside => {
                    self.within(Thread::Aside, |walk| walk.visit_expr_closure(closure));
                }
                // `{ let copy = it.clone(); move || .. }`
                Expr::Block(block) if aside => match block.block.stmts.split_last() {
                    Some((Stmt::Expr(Expr::Closure(closure), None), before)) => {
                        before.iter().for_each(|statement| self.visit_stmt(statement));
                        self.within(Thread::Aside, |walk| walk.visit_expr_closure(closure));
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
        let accesses_disk = match call.args.len() {
            0 => METHODS.contains(&name.as_str()),
            1 => CHANGES.contains(&name.as_str()),
            _ => false,
        };
        if accesses_disk && !awaited && !is_in_memory(&call.receiver) {
            self.act(&call.method, What::Blocks(name));
        } else if self.opens(call) && !awaited {
            self.act(&call.method, What::Blocks(format!("OpenOptions::{name}")));
        } else if !awaited && !accesses_disk && !aside {
            let same_type =
                matches!(&*call.receiver, Expr::Path(path) if path.path.is_ident("self"));
            self.act(&call.method, What::Method(name, same_type));
        }
        self.parameters(&call.args, aside);
    }

    /// Whether a call ends a chain that began with the file options of `std`.
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

/// The beginning of a chain of calls.
fn root(expr: &Expr) -> &Expr {
    match expr {
        Expr::MethodCall(call) => root(&call.receiver),
        other => other,
    }
}

/// Whether the path is a function of `std` that waits for a disk, or sleeps.
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

/// In `entry.file_type()?.is_dir()`, the second call uses data that is in memory.
fn is_in_memory(receiver: &Expr) -> bool {
    match receiver {
        Expr::Try(inner) => is_in_memory(&inner.expr),
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
        // A separate thread that drives a future may block in it.
        let thread = if self.thread == Thread::Aside { Thread::Aside } else { Thread::Async };
        self.within(thread, |walk| visit::visit_expr_async(walk, expr));
    }

    fn visit_expr_closure(&mut self, closure: &'ast ExprClosure) {
        let thread = if closure.asyncness.is_some() { Thread::Async } else { self.thread };
        self.within(thread, |walk| visit::visit_expr_closure(walk, closure));
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
            && self.passed.contains(&pat.ident.to_string())
        {
            self.within(Thread::Aside, |walk| visit::visit_local(walk, local));
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
