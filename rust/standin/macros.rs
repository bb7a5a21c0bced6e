// SPDX-License-Identifier: GPL-2.0

//! Stands for the kernel's `macros` crate, of which it has `paste!` and `kunit_tests`.

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

/// Stands for `kernel::macros::kunit_tests`: makes a module's functions with `#[test]` tests of
/// KUnit.
///
/// Other than the real one, it makes them one case of KUnit, of the suite in
/// `rust/standin/kunit.c`, for whose name the argument stands. There is one such module at most.
///
/// # Panics
///
/// If there is no module behind the attribute; the compiler shows where.
#[proc_macro_attribute]
pub fn kunit_tests(_suite: TokenStream, item: TokenStream) -> TokenStream {
    let mut item: Vec<TokenTree> = item.into_iter().collect();
    let Some(TokenTree::Group(body)) = item.pop() else {
        panic!("`#[kunit_tests]` is for a module with its tests in it");
    };
    let mut trees = body.stream().into_iter().peekable();
    let mut content: TokenStream = parsed("use ::kernel::kunit::{assert, assert_eq};");
    let mut calls = String::new();
    let (mut is_test, mut is_name) = (false, false);
    while let Some(tree) = trees.next() {
        let attribute = match (&tree, trees.peek()) {
            (TokenTree::Punct(mark), Some(TokenTree::Group(group))) if mark.as_char() == '#' => {
                group.stream().to_string()
            }
            _ => String::new(),
        };
        if attribute == "test" {
            trees.next();
            is_test = true;
            continue;
        }
        if is_test && is_name {
            calls += &format!("::kernel::kunit::begin(\"{tree}\"); {tree}();");
            (is_test, is_name) = (false, false);
        } else {
            is_name = matches!(&tree, TokenTree::Ident(word) if word.to_string() == "fn");
        }
        content.extend([tree]);
    }
    content.extend(parsed(&format!(
        "#[no_mangle] extern \"C\" fn standin_kunit_run() {{ {calls} }}"
    )));
    item.push(TokenTree::Group(Group::new(Delimiter::Brace, content)));
    item.into_iter().collect()
}

/// Returns the tokens of source that is known to be right.
fn parsed(source: &str) -> TokenStream {
    source.parse().unwrap_or_default()
}
