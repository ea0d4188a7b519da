//! Functions that run a closure on a thread that may block, and the closures that they receive.

use std::collections::BTreeSet;

use syn::{
    Block, Expr, FnArg, Ident, Pat, Signature, Type,
    visit::{self, Visit},
};

/// Starts a thread for a closure, and a task for a future.
pub(super) const SPAWN: &str = "spawn";

/// Whether a call of that path runs its closure on another thread, directly or indirectly.
pub(super) fn runs_aside(path: &syn::Path, aside: &BTreeSet<String>) -> bool {
    let parts: Vec<String> = path.segments.iter().map(|part| part.ident.to_string()).collect();
    match parts.as_slice() {
        [.., module, last] if module == "thread" && last == SPAWN => true,
        [.., last] => aside.contains(last),
        [] => false,
    }
}

/// The names that a body passes to functions that run them on another thread, directly or in closures.
pub(super) fn passed(body: &Block, aside: &BTreeSet<String>) -> BTreeSet<String> {
    struct Passed<'a>(&'a BTreeSet<String>, BTreeSet<String>);
    impl<'ast> Visit<'ast> for Passed<'_> {
        fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
            if let Expr::Path(path) = &*call.func
                && runs_aside(&path.path, self.0)
            {
                call.args.iter().for_each(|argument| self.1.extend(names(argument)));
            }
            visit::visit_expr_call(self, call);
        }

        fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
            if self.0.contains(&call.method.to_string()) || call.method == SPAWN {
                call.args.iter().for_each(|argument| self.1.extend(names(argument)));
            }
            visit::visit_expr_method_call(self, call);
        }
    }
    let mut passed = Passed(aside, BTreeSet::new());
    passed.visit_block(body);
    passed.1
}

/// The name itself, or the names that a closure uses.
fn names(argument: &Expr) -> BTreeSet<String> {
    struct Names(BTreeSet<String>);
    impl<'ast> Visit<'ast> for Names {
        fn visit_expr_path(&mut self, path: &'ast syn::ExprPath) {
            self.0.extend(path.path.get_ident().map(Ident::to_string));
        }
    }
    let mut names = Names(BTreeSet::new());
    if matches!(argument, Expr::Path(_) | Expr::Closure(_)) {
        names.visit_expr(argument);
    }
    names.0
}

/// The functions of a file that pass a closure parameter to a function that runs it on another thread.
pub(super) fn wrappers(file: &syn::File, aside: &BTreeSet<String>) -> BTreeSet<String> {
    struct Wrappers<'a>(&'a BTreeSet<String>, BTreeSet<String>);
    impl Wrappers<'_> {
        fn look(&mut self, signature: &Signature, body: &Block) {
            let passed = passed(body, self.0);
            let is_given = |input: &FnArg| match input {
                FnArg::Typed(input) => match &*input.pat {
                    Pat::Ident(pat) => {
                        may_be_closure(&input.ty, signature)
                            && passed.contains(&pat.ident.to_string())
                    }
                    _ => false,
                },
                FnArg::Receiver(_) => false,
            };
            if signature.inputs.iter().any(is_given) {
                self.1.insert(signature.ident.to_string());
            }
        }
    }
    impl<'ast> Visit<'ast> for Wrappers<'_> {
        fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
            self.look(&item.sig, &item.block);
            visit::visit_item_fn(self, item);
        }

        fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
            self.look(&item.sig, &item.block);
            visit::visit_impl_item_fn(self, item);
        }
    }
    let mut wrappers = Wrappers(aside, BTreeSet::new());
    wrappers.visit_file(file);
    wrappers.1
}

/// Whether a type is `impl Trait` or a type parameter of the function.
fn may_be_closure(ty: &Type, signature: &Signature) -> bool {
    match ty {
        Type::ImplTrait(_) => true,
        Type::Path(path) => {
            signature.generics.type_params().any(|parameter| path.path.is_ident(&parameter.ident))
        }
        _ => false,
    }
}
