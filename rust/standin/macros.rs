// SPDX-License-Identifier: GPL-2.0

//! Stands for the kernel's `macros` crate, of which it has `paste!` only.

use proc_macro::{
    Delimiter,
    Group,
    Ident,
    TokenStream,
    TokenTree, //
};

/// Stands for `kernel::macros::paste`: replaces `[<a b c>]` by the identifier `abc`.
///
/// The words may be identifiers, keywords, integers and fragments of a macro. Other than the real
/// one, it has no modifiers (`:lower`, `:span`); these do not compile.
#[proc_macro]
pub fn paste(input: TokenStream) -> TokenStream {
    expand(input)
}

fn expand(stream: TokenStream) -> TokenStream {
    let mut expanded = TokenStream::new();
    for tree in stream {
        let TokenTree::Group(group) = tree else {
            expanded.extend([tree]);
            continue;
        };
        let word = if group.delimiter() == Delimiter::Bracket {
            joined(&group)
        } else {
            None
        };
        expanded.extend([word.unwrap_or_else(|| {
            let mut inner = Group::new(group.delimiter(), expand(group.stream()));
            inner.set_span(group.span());
            TokenTree::Group(inner)
        })]);
    }
    expanded
}

/// Returns the identifier if the group is `[< ... >]`.
///
/// # Panics
///
/// If the words make no identifier; the compiler shows where.
fn joined(group: &Group) -> Option<TokenTree> {
    let words: Vec<TokenTree> = group.stream().into_iter().collect();
    let [TokenTree::Punct(open), words @ .., TokenTree::Punct(close)] = words.as_slice() else {
        return None;
    };
    if open.as_char() != '<' || close.as_char() != '>' {
        return None;
    }
    let mut name = String::new();
    for word in words {
        let text = match word {
            // A fragment of a macro is in a group without delimiters.
            TokenTree::Group(fragment) if fragment.delimiter() == Delimiter::None => {
                fragment.stream().to_string()
            }
            TokenTree::Ident(_) | TokenTree::Literal(_) => word.to_string(),
            _ => panic!("`[< ... >]` takes identifiers and integers, not `{word}`"),
        };
        name.push_str(text.strip_prefix("r#").unwrap_or(&text));
    }
    Some(TokenTree::Ident(Ident::new(&name, group.span())))
}
