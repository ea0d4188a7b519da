//! The code in a `tokio::select!`, whose syntax is not Rust's.

use syn::{
    Expr, Ident, Pat, Token,
    parse::{Parse, ParseStream},
};

/// The futures, conditions and handlers.
pub(super) struct Select(pub(super) Vec<Expr>);

impl Parse for Select {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut parts = Vec::new();
        if input.peek(Ident) && input.peek2(Token![;]) {
            input.parse::<Ident>()?;
            input.parse::<Token![;]>()?;
        }
        while !input.is_empty() {
            if input.peek(Token![else]) {
                input.parse::<Token![else]>()?;
            } else {
                Pat::parse_multi(input)?;
                input.parse::<Token![=]>()?;
                // The macro awaits the future.
                let base = Box::new(input.parse::<Expr>()?);
                parts.push(Expr::Await(syn::ExprAwait {
                    attrs: Vec::new(),
                    base,
                    dot_token: Token![.](input.span()),
                    await_token: Token![await](input.span()),
                }));
                if input.peek(Token![,]) {
                    input.parse::<Token![,]>()?;
                    input.parse::<Token![if]>()?;
                    parts.push(input.parse()?);
                }
            }
            input.parse::<Token![=>]>()?;
            parts.push(input.parse()?);
            if input.peek(Token![,]) {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(Self(parts))
    }
}
