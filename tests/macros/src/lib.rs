// SPDX-License-Identifier: GPL-2.0

//! The attribute [`macro@guest_test`].

use proc_macro::TokenStream;
use proc_macro2::TokenStream as Tokens;
use quote::{format_ident, quote};
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Error, Expr, Ident, ItemFn, Lit, Meta, Path, Result, Token};

/// Makes tests of a function that boots a guest, one per driver and chip.
///
/// ```text
/// /// A link that was forced to a speed keeps it.
/// #[guest_test(ours(b300, b380), r8169 = b380, debug)]
/// fn keeps_a_forced_speed(case: &Case) -> Result<()> {
/// ```
///
/// | argument | meaning |
/// |---|---|
/// | `ours(b300, b380)`, `r8169(b380)` | a test per chip, with that driver: `ours_keeps_a_forced_speed_on_b300`, ... |
/// | `ours = b300`, `r8169 = b380` | one test, without the chip in its name: `r8169_keeps_a_forced_speed` |
/// | `name = "carrier_of_{driver}_follows"` | another name than `{driver}_` and that of the function; with `{chip}` in it, nothing is put behind it |
/// | `kernel = older`, `oldest` or `debian12` | another kernel than that under test |
/// | `memory = 256` | MiB that the guest has besides what transfers need |
/// | `alone` | no other guest runs meanwhile: the test measures, or keeps both cores busy |
/// | `debug` | `scripts/lab debug` runs the test on the debug kernel too: of several drivers, that of ours |
///
/// Without a driver the test has the name of the function, which gets `&Inputs` and makes its cases
/// itself. A test leaves its logs in the folder of its name. A second attribute makes further tests
/// of the same function.
#[proc_macro_attribute]
pub fn guest_test(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand(arguments, item)
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}

/// A driver in the attribute.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Driver {
    Ours,
    R8169,
}

impl Driver {
    fn named(path: &Path) -> Option<Self> {
        if path.is_ident("ours") {
            Some(Self::Ours)
        } else if path.is_ident("r8169") {
            Some(Self::R8169)
        } else {
            None
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::R8169 => "r8169",
        }
    }

    fn tokens(self) -> Tokens {
        match self {
            Self::Ours => quote!(::lab::case::Of::Ours),
            Self::R8169 => quote!(::lab::case::Of::R8169),
        }
    }
}

/// A chip in the attribute.
struct Chip(String);

impl Chip {
    fn of(ident: &Ident) -> Result<Self> {
        match ident.to_string() {
            chip if chip == "b300" || chip == "b380" => Ok(Self(chip)),
            other => Err(Error::new(
                ident.span(),
                format!("found the chip `{other}`, expected b300 or b380"),
            )),
        }
    }

    fn tokens(&self) -> Tokens {
        let variant = format_ident!("{}", self.0.to_uppercase());
        quote!(::lab::model::Chip::#variant)
    }
}

/// One test of a function.
struct Variant {
    driver: Driver,
    chip: Chip,
    /// Says whether the name has the chip.
    on: bool,
}

impl Variant {
    fn name(&self, template: &str) -> String {
        let name = template
            .replace("{driver}", self.driver.name())
            .replace("{chip}", &self.chip.0);
        if self.on && !template.contains("{chip}") {
            format!("{name}_on_{}", self.chip.0)
        } else {
            name
        }
    }
}

struct Arguments {
    variants: Vec<Variant>,
    name: Option<String>,
    kernel: Tokens,
    memory: u32,
    alone: bool,
    debug: bool,
}

impl Arguments {
    fn parse(metas: impl IntoIterator<Item = Meta>) -> Result<Self> {
        let mut arguments = Self {
            variants: Vec::new(),
            name: None,
            kernel: quote!(::lab::case::Series::Tested),
            memory: 0,
            alone: false,
            debug: false,
        };
        for meta in metas {
            match &meta {
                Meta::Path(path) if path.is_ident("alone") => arguments.alone = true,
                Meta::Path(path) if path.is_ident("debug") => arguments.debug = true,
                Meta::List(list) => arguments.add(&list.path, {
                    let chips = Punctuated::<Ident, Token![,]>::parse_terminated;
                    list.parse_args_with(chips)?.iter().map(Chip::of)
                })?,
                Meta::NameValue(pair) => arguments.set(&pair.path, &pair.value)?,
                Meta::Path(path) => return Err(unknown(path)),
            }
        }
        Ok(arguments)
    }

    fn add(&mut self, path: &Path, chips: impl Iterator<Item = Result<Chip>>) -> Result<()> {
        let driver = Driver::named(path).ok_or_else(|| unknown(path))?;
        for chip in chips {
            let (chip, on) = (chip?, true);
            self.variants.push(Variant { driver, chip, on });
        }
        Ok(())
    }

    fn set(&mut self, path: &Path, value: &Expr) -> Result<()> {
        if let Some(driver) = Driver::named(path) {
            let (chip, on) = (Chip::of(word(value)?)?, false);
            self.variants.push(Variant { driver, chip, on });
        } else if path.is_ident("kernel") {
            self.kernel = match word(value)?.to_string().as_str() {
                "older" => quote!(::lab::case::Series::Older),
                "oldest" => quote!(::lab::case::Series::Oldest),
                "debian12" => quote!(::lab::case::Series::Debian12),
                _ => {
                    return Err(Error::new(
                        value.span(),
                        "expected older, oldest or debian12",
                    ))
                }
            };
        } else if path.is_ident("name") {
            match literal(value)? {
                Lit::Str(name) => self.name = Some(name.value()),
                other => return Err(Error::new(other.span(), "expected a string")),
            }
        } else if path.is_ident("memory") {
            match literal(value)? {
                Lit::Int(memory) => self.memory = memory.base10_parse()?,
                other => return Err(Error::new(other.span(), "expected a number of MiB")),
            }
        } else {
            return Err(unknown(path));
        }
        Ok(())
    }
}

fn unknown(path: &Path) -> Error {
    Error::new(
        path.span(),
        "expected ours, r8169, name, kernel, memory, alone or debug",
    )
}

fn word(value: &Expr) -> Result<&Ident> {
    match value {
        Expr::Path(path) => path.path.require_ident(),
        other => Err(Error::new(other.span(), "expected a word")),
    }
}

fn literal(value: &Expr) -> Result<&Lit> {
    match value {
        Expr::Lit(literal) => Ok(&literal.lit),
        other => Err(Error::new(other.span(), "expected a value")),
    }
}

fn expand(arguments: TokenStream, item: TokenStream) -> Result<Tokens> {
    let metas = Punctuated::<Meta, Token![,]>::parse_terminated.parse(arguments)?;
    let arguments = Arguments::parse(metas)?;
    let function: ItemFn = syn::parse(item)?;
    let ident = &function.sig.ident;
    let alone = arguments.alone;
    // Found by the test's own crate: a library has no programs.
    let echo = quote!(::std::path::Path::new(env!("CARGO_BIN_EXE_guest-echo")));
    let left_out = |debug: bool| {
        (!debug)
            .then(|| quote!(#[cfg_attr(feature = "debug-run", ignore = "not in the debug run")]))
    };
    if arguments.variants.is_empty() {
        let name = ident.to_string();
        let left_out = left_out(arguments.debug);
        return Ok(quote! {
            #[test]
            #left_out
            fn #ident() {
                #function
                ::lab::case::run(#name, #alone, #echo, #ident);
            }
        });
    }
    let template = arguments
        .name
        .unwrap_or_else(|| format!("{{driver}}_{ident}"));
    let (kernel, memory) = (&arguments.kernel, arguments.memory);
    let tests = arguments.variants.iter().map(|variant| {
        let name = variant.name(&template);
        let test = Ident::new(&name, ident.span());
        let left_out = left_out(arguments.debug && variant.driver == Driver::Ours);
        let (driver, chip) = (variant.driver.tokens(), variant.chip.tokens());
        quote! {
            #[test]
            #left_out
            fn #test() {
                ::lab::case::run(#name, #alone, #echo, |inputs| {
                    #ident(&inputs.variant(#kernel, #driver, #chip, #memory)?)
                });
            }
        }
    });
    Ok(quote! {
        #function
        #(#tests)*
    })
}
