//! Expressions that are built once: what changes from command to command is filled in.
//!
//! The client packs an expression by walking its tree twice, with allocations at every node, which
//! costs more than the rest of a command. Here the tree is walked once in a process's life; a command
//! copies the packed bytes and puts its own numbers between them.

use aerospike::expressions::{Expression, from_packed_bytes, int_val};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The packed bytes of an expression, with holes for `N` integers.
pub(super) struct Template<const N: usize> {
    parts: Vec<Part>,
    /// About what an expression takes.
    size: usize,
}

enum Part {
    Packed(Vec<u8>),
    Hole(usize),
}

/// What stands for a hole while the expression is built. No number of a real expression is this
/// far below zero, and MessagePack takes nine bytes for it.
const HOLE: i64 = i64::MIN + 0x0067_656e_6665_6e63;

/// The longest integer in MessagePack: a marker and 64 bits.
const LONGEST: usize = 9;

impl<const N: usize> Template<N> {
    /// Builds the expression, with something in place of each integer, and packs it.
    pub fn new(build: impl FnOnce([Expression; N]) -> Expression) -> Self {
        let holes = std::array::from_fn(|hole| int_val(stand_in(hole)));
        let packed = build(holes).base64().expect("an expression of this library packs");
        let packed = STANDARD.decode(packed).expect("base64 is what was asked for");
        let stands_at = |at: usize| (0..N).find(|hole| packed[at..].starts_with(&marked(*hole)));
        let (mut parts, mut start, mut at) = (Vec::new(), 0, 0);
        while at < packed.len() {
            let Some(hole) = stands_at(at) else {
                at += 1;
                continue;
            };
            parts.extend([Part::Packed(packed[start..at].to_vec()), Part::Hole(hole)]);
            at += LONGEST;
            start = at;
        }
        parts.push(Part::Packed(packed[start..].to_vec()));
        Template { parts, size: packed.len() }
    }

    /// The expression with these integers.
    pub fn with(&self, numbers: [i64; N]) -> Expression {
        let mut packed = Vec::with_capacity(self.size);
        for part in &self.parts {
            match part {
                Part::Packed(bytes) => packed.extend_from_slice(bytes),
                Part::Hole(hole) => {
                    rmp::encode::write_sint(&mut packed, numbers[*hole])
                        .expect("a vector takes every write");
                }
            }
        }
        from_packed_bytes(packed)
    }
}

fn stand_in(hole: usize) -> i64 {
    HOLE + i64::try_from(hole).expect("there are few holes")
}

fn marked(hole: usize) -> [u8; LONGEST] {
    let mut bytes = [0xd3; LONGEST];
    bytes[1..].copy_from_slice(&stand_in(hole).to_be_bytes());
    bytes
}

/// An expression with holes, built at its first use:
/// `once!(token = bins::token(token), deadline = bins::time(deadline) => eq(token, deadline))`. Within
/// it a name is a function, as an expression may need its number more than once.
macro_rules! once {
    ($($hole:ident = $number:expr),* => $build:expr) => {{
        static TEMPLATE: std::sync::LazyLock<Template<{ <[&str]>::len(&[$(stringify!($hole)),*]) }>> =
            std::sync::LazyLock::new(|| Template::new(|[$($hole),*]| {
                $(let $hole = || $hole.clone();)*
                $build
            }));
        TEMPLATE.with([$($number),*])
    }};
}
pub(super) use once;

/// As [`once!`], for a condition that holds only before some time, where one is given.
macro_rules! once_before {
    ($before:expr; $($hole:ident = $number:expr),* => $build:expr) => {
        match $before.filter(|_| undone::holds(undone::Rule::LateIsRefused)) {
            None => once!($($hole = $number),* => $build),
            Some(before) => once!($($hole = $number,)* before = bins::time(before) => and(vec![
                $build,
                gt(before(), now_in_filter()),
            ])),
        }
    };
}
pub(super) use once_before;

#[cfg(test)]
mod tests {
    use aerospike::expressions::{and, eq, int_bin, num_add};

    use super::*;

    #[test]
    fn a_filled_template_is_the_expression_that_was_meant() {
        let build = |a: i64, b: i64| {
            and(vec![
                eq(int_bin("a"), num_add(vec![int_val(a), int_val(b)])),
                eq(int_bin("b"), int_val(a)),
            ])
        };
        let template = Template::new(|[a, b]| {
            and(vec![eq(int_bin("a"), num_add(vec![a.clone(), b])), eq(int_bin("b"), a)])
        });
        // Every length that an integer can take.
        let numbers = [
            0,
            1,
            127,
            128,
            255,
            256,
            65_535,
            65_536,
            i64::from(u32::MAX),
            i64::from(u32::MAX) + 1,
            i64::MAX,
            -1,
            -32,
            -33,
            -128,
            -129,
            -32_768,
            -32_769,
            i64::from(i32::MIN),
            i64::from(i32::MIN) - 1,
            i64::MIN,
        ];
        for (a, b) in numbers.iter().flat_map(|a| numbers.map(|b| (*a, b))) {
            let filled = template.with([a, b]).base64().unwrap();
            assert_eq!(filled, build(a, b).base64().unwrap(), "{a}, {b}");
        }
    }

    #[test]
    fn a_template_without_holes_is_the_expression_itself() {
        let template = Template::<0>::new(|[]| eq(int_bin("a"), int_val(7)));
        let plain = eq(int_bin("a"), int_val(7));
        assert_eq!(template.with([]).base64().unwrap(), plain.base64().unwrap());
    }
}
