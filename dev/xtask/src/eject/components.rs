//! Replaces the components of lessons with their optimized arms: `component!` becomes a `use`, `select` becomes `new`,
//! and parameters that the optimized arm ignores are removed.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::tokens::{Edits, Source};

/// A declaration of a component.
#[derive(Debug)]
pub(super) struct Component {
    /// The crate and folder of its declaration, such as `api/src/orders/reserve_stock`.
    folder: String,
    pub(super) name: String,
    /// The path of its optimized arm within the folder, such as `conditional::Conditional`.
    optimized: String,
    /// Whether its arms are unit structs.
    is_unit: bool,
    /// `new`, which `select` calls, and the methods of all arms.
    methods: BTreeSet<String>,
}

/// The positions of the parameters that an optimized arm ignores, by crate, method and number of arguments. The key of
/// a constructor has the component's name instead of the crate.
#[derive(Debug, Default)]
pub(super) struct Ignored(BTreeMap<(String, String, usize), Vec<usize>>);

impl Component {
    /// The module of its optimized arm.
    fn module(&self) -> &str {
        self.optimized.split("::").next().unwrap_or_default()
    }

    /// The name of its optimized arm, which gets the component's.
    fn arm(&self) -> &str {
        self.optimized.rsplit("::").next().unwrap_or_default()
    }

    fn arm_file(&self) -> String {
        format!("{}/{}.rs", self.folder, self.module())
    }
}

fn crate_of(path: &str) -> &str {
    path.split('/').next().unwrap_or(path)
}

/// Collects the components that a file declares.
pub(super) fn declared(path: &str, source: &Source) -> Vec<Component> {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    macro_invocations(source, "component")
        .map(|invocation| {
            let body = invocation.open + 1..invocation.close;
            let find = |from: usize, texts: &[&str]| (from..body.end).find(|at| source.has_at(*at, texts));
            let arms = find(body.start, &["{"]).expect("a component has arms");
            // `pub Name: techniques::Lesson {`
            let colon = find(body.start, &[":", "techniques"])
                .or_else(|| (body.start..arms).rfind(|at| source.text_at(*at) == ":"))
                .expect("a component names its lesson");
            let optimized = find(arms, &["optimized"]).expect("a component has an optimized arm");
            let end = (optimized..body.end)
                .find(|at| matches!(source.text_at(*at), "," | "}"))
                .expect("the arm's path ends");
            let methods = (arms..body.end)
                .filter(|at| source.text_at(*at) == "fn")
                .map(|at| source.text_at(at + 1).to_owned());
            Component {
                folder: folder.to_owned(),
                name: source.text_at(colon - 1).to_owned(),
                is_unit: find(arms, &["select", "(", ")", ";"]).is_some(),
                optimized: source.slice(&(optimized + 3..end)).to_owned(),
                methods: methods.chain(["new".to_owned()]).collect(),
            }
        })
        .collect()
}

/// Replaces declarations with a `use` of the optimized arm, and `select_arm!` with the optimized arm's expression.
pub(super) fn replace_declarations(path: &str, source: &Source, components: &[Component]) -> Option<String> {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut edits = Edits::default();
    let own = components.iter().filter(|component| component.folder == folder);
    for (invocation, component) in macro_invocations(source, "component").zip(own) {
        let visibility = visibility(source, invocation.open + 1);
        edits.remove(invocation.range(source));
        let line = format!(
            "{visibility}use self::{}::{};\n",
            component.module(),
            component.name
        );
        let at = use_position(&source.text);
        edits.replace(at..at, line);
    }
    for invocation in macro_invocations(source, "select_arm") {
        let optimized = (invocation.open..invocation.close)
            .rfind(|at| source.text_at(*at) == "optimized")
            .expect("there is an optimized arm");
        // `optimized Name => expression,`
        let mut end = invocation.close - 1;
        while matches!(source.text_at(end - 1), ",") {
            end -= 1;
        }
        let expression = source.slice(&(optimized + 4..end)).to_owned();
        edits.replace(invocation.range(source), expression);
    }
    (!edits.is_empty()).then(|| edits.apply(&source.text))
}

/// Gives the arm the component's name. Collects the parameters that an arm's methods ignore, and removes them.
pub(super) fn drop_ignored_parameters(
    path: &str,
    source: &Source,
    components: &[Component],
    ignored: &mut Ignored,
) -> Option<String> {
    let component = components.iter().find(|component| component.arm_file() == path)?;
    let mut edits = Edits::default();
    for at in 0..source.tokens.len() {
        if source.text_at(at) == component.arm() {
            edits.replace(source.tokens[at].range.clone(), component.name.clone());
        }
        let name = source.text_at(at + 1);
        if source.text_at(at) != "fn" || !component.methods.contains(name) {
            continue;
        }
        let Some(open) = (at + 2..source.tokens.len()).find(|index| source.text_at(*index) == "(") else {
            continue;
        };
        let close = source.close_of(open).expect("parentheses are paired");
        let parameters = source.list(open, close);
        let is_method = parameters
            .first()
            .is_some_and(|first| source.slice(first).ends_with("self"));
        let arguments = &parameters[usize::from(is_method)..];
        let unused: Vec<usize> = (0..arguments.len())
            .filter(|index| source.text_at(arguments[*index].start).starts_with('_'))
            .collect();
        if unused.is_empty() {
            continue;
        }
        for index in &unused {
            edits.remove(range_with_comma(source, &arguments[*index]));
        }
        let key = (crate_of(path).to_owned(), name.to_owned(), arguments.len());
        // Callers name the component: `Component::select`.
        let key = match name {
            "new" => (component.name.clone(), key.1, key.2),
            _ => key,
        };
        ignored.0.insert(key, unused);
    }
    (!edits.is_empty()).then(|| edits.apply(&source.text))
}

/// Replaces `Component::select(arm, …)` with `Component::new(…)`, and removes the arguments of removed parameters.
pub(super) fn adapt_calls(
    path: &str,
    source: &Source,
    components: &[Component],
    ignored: &Ignored,
) -> Option<String> {
    let mut edits = Edits::default();
    for at in 0..source.tokens.len() {
        let Some(close) = source.close_of(at).filter(|_| source.text_at(at) == "(") else {
            continue;
        };
        let name = at.checked_sub(1).map_or("", |before| source.text_at(before));
        let component = at.checked_sub(4).filter(|_| name == "select").and_then(|first| {
            components
                .iter()
                .find(|known| known.name == source.text_at(first))
        });
        let mut arguments = source.list(at, close);
        if let Some(component) = component {
            if component.is_unit {
                // `Component::select(arm)` becomes `Component`, the unit struct.
                edits.remove(source.tokens[at - 3].range.start..source.tokens[close].range.end);
                continue;
            }
            edits.replace(source.tokens[at - 1].range.clone(), "new".to_owned());
            edits.remove(range_with_comma(source, &arguments.remove(0)));
            let key = (component.name.clone(), "new".to_owned(), arguments.len());
            for index in ignored.0.get(&key).into_iter().flatten() {
                edits.remove(range_with_comma(source, &arguments[*index]));
            }
        } else if at.checked_sub(2).is_some_and(|dot| source.text_at(dot) == ".") {
            let key = (crate_of(path).to_owned(), name.to_owned(), arguments.len());
            for index in ignored.0.get(&key).into_iter().flatten() {
                edits.remove(range_with_comma(source, &arguments[*index]));
            }
        }
    }
    (!edits.is_empty()).then(|| edits.apply(&source.text))
}

/// A macro's invocation, by token indexes.
struct Invocation {
    first: usize,
    open: usize,
    close: usize,
}

impl Invocation {
    /// Its range in the text.
    fn range(&self, source: &Source) -> Range<usize> {
        source.tokens[self.first].range.start..source.tokens[self.close].range.end
    }
}

/// The invocations of the macro `techniques::<name>!`.
fn macro_invocations<'s>(source: &'s Source, name: &'s str) -> impl Iterator<Item = Invocation> + 's {
    (0..source.tokens.len()).filter_map(move |first| {
        let is_call = source.has_at(first, &["techniques", ":", ":", name, "!"]);
        let open = first + 5;
        let close = source.close_of(open).filter(|_| is_call)?;
        Some(Invocation { first, open, close })
    })
}

/// The visibility after any attributes: `pub `, `pub(super) ` or empty.
fn visibility(source: &Source, mut at: usize) -> String {
    while source.text_at(at) == "#" {
        at = source.close_of(at + 1).expect("attributes are paired") + 1;
    }
    match (source.text_at(at), source.text_at(at + 1)) {
        ("pub", "(") => {
            let close = source.close_of(at + 1).expect("parentheses are paired");
            format!("{} ", source.slice(&(at..close + 1)))
        }
        ("pub", _) => "pub ".to_owned(),
        _ => String::new(),
    }
}

/// Where a `use` of the file's own modules is inserted: before the first other `use` of this crate, otherwise after the
/// last `use` or `mod`.
fn use_position(text: &str) -> usize {
    let starts = |prefix: &str| text.match_indices(prefix).map(|(at, _)| at + 1).next();
    if let Some(at) = ["\nuse self::", "\nuse super::", "\nuse crate::"]
        .into_iter()
        .filter_map(starts)
        .min()
    {
        return at;
    }
    let last = ["\nuse ", "\npub use ", "\nmod ", "\npub mod "]
        .into_iter()
        .filter_map(|prefix| text.rfind(prefix))
        .max();
    last.and_then(|at| text[at + 1..].find('\n').map(|end| at + end + 2))
        .unwrap_or_default()
}

/// The range of a list's item in the text, with the comma after it, or else the one before it.
fn range_with_comma(source: &Source, item: &Range<usize>) -> Range<usize> {
    let start = source.tokens[item.start].range.start;
    if source.text_at(item.end) == "," {
        let next = source.tokens[item.end + 1].range.start;
        return start..next;
    }
    let end = source.tokens[item.end - 1].range.end;
    match source.text_at(item.start - 1) {
        "," => source.tokens[item.start - 1].range.start..end,
        _ => start..end,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DECLARATION: &str = "//! Lines.\n\npub mod one;\n\nuse crate::a::B;\n\n\
        techniques::component! {\n    /// Inserts.\n    #[derive(Debug)]\n    pub Lines: techniques::OrderLines {\n        \
        baseline Many = many::Many,\n        optimized One = one::One,\n    }\n    pub select(a: &A, b: B);\n\n    \
        pub fn insert(&self, x: u8) -> u8;\n}\n";

    #[test]
    fn a_component_becomes_its_optimized_arm() {
        let source = Source::parse("t", DECLARATION.to_owned()).unwrap();
        let components = declared("api/src/lines/mod.rs", &source);
        let text = replace_declarations("api/src/lines/mod.rs", &source, &components).unwrap();
        assert_eq!(
            text.trim(),
            "//! Lines.\n\npub mod one;\n\npub use self::one::Lines;\nuse crate::a::B;"
        );
    }

    #[test]
    fn parameters_that_the_arm_ignores_are_removed_with_their_arguments() {
        let source = Source::parse("t", DECLARATION.to_owned()).unwrap();
        let components = declared("api/src/lines/mod.rs", &source);
        let arm = "impl One { fn new(_a: &A, b: B) -> Self { x } fn insert(&self, _x: u8) -> u8 { 1 } }";
        let arm = Source::parse("t", arm.to_owned()).unwrap();
        let mut ignored = Ignored::default();
        let text = drop_ignored_parameters("api/src/lines/one.rs", &arm, &components, &mut ignored).unwrap();
        assert_eq!(
            text,
            "impl Lines { fn new(b: B) -> Self { x } fn insert(&self) -> u8 { 1 } }"
        );
        let call = "fn f() { let lines = Lines::select(selection.lines, &a, b(1, 2)); lines.insert(x.y(3)) }";
        let call = Source::parse("t", call.to_owned()).unwrap();
        assert_eq!(
            adapt_calls("api/src/x.rs", &call, &components, &ignored).unwrap(),
            "fn f() { let lines = Lines::new(b(1, 2)); lines.insert() }"
        );
    }

    #[test]
    fn select_arm_becomes_the_optimized_arms_expression() {
        let text = "fn f() { techniques::select_arm!(arm => Indexes { baseline A => a(1, 2), optimized B => b::<C>(3), }) }";
        let source = Source::parse("t", text.to_owned()).unwrap();
        assert_eq!(
            replace_declarations("api/src/x.rs", &source, &[]).unwrap(),
            "fn f() { b::<C>(3) }"
        );
    }
}
