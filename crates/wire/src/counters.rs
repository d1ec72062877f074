//! Counters with their names: each stands in one place, with its help and the name of its metric.

/// One counter and its value. Counters only grow.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Counter {
    /// The name of the field, as in JSON.
    pub name: &'static str,
    /// The name of the metric that it belongs to, without the prefix of the program.
    pub metric: &'static str,
    /// The label that tells it from the others of its metric, and the value of that; `None` where
    /// it is alone.
    pub label: Option<(&'static str, &'static str)>,
    /// What it counts.
    pub help: &'static str,
    /// What the metric as a whole counts; the same as [`help`](Self::help) where it is alone.
    pub metric_help: &'static str,
    /// How much that is by now.
    pub value: u64,
}

impl Counter {
    /// A counter that is not a field. `families` has the help of metrics with several counters.
    pub fn new(
        name: &'static str,
        (metric, label): (&'static str, Option<(&'static str, &'static str)>),
        help: &'static str,
        families: &[(&'static str, &'static str)],
        value: u64,
    ) -> Self {
        let help = help.trim_ascii_start();
        let family = families.iter().find(|(name, _)| *name == metric);
        let metric_help = family.map_or(help, |(_, help)| help);
        Self { name, metric, label, help, metric_help, value }
    }
}

/// Defines a struct of counters: each field with what it counts, which is its documentation, too,
/// and the metric that it is shown as. `families` says what those metrics count that several fields
/// belong to, `with` names fields that are counters themselves.
#[doc(hidden)]
#[macro_export]
macro_rules! counters {
    (
        $(#[doc = $about:literal])+
        pub struct $name:ident {
            $(
                $(#[doc = $help:literal])+
                $field:ident => $metric:literal $([$label:ident = $value:literal])?,
            )+
        }
        families { $($family:literal: $family_help:literal,)* }
        with { $($(#[doc = $inner_help:literal])+ $inner:ident: $inner_type:ty,)* }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
        #[non_exhaustive]
        pub struct $name {
            $($(#[doc = $help])+ pub $field: u64,)+
            $($(#[doc = $inner_help])+ pub $inner: $inner_type,)*
        }

        impl $name {
            /// All of them with their names, in the order of the fields.
            pub fn counters(&self) -> impl Iterator<Item = $crate::counters::Counter> {
                const FAMILIES: &[(&str, &str)] = &[$(($family, $family_help)),*];
                let own = [$($crate::counters::Counter::new(
                    stringify!($field),
                    ($metric, $crate::counters!(@label $($label = $value)?)),
                    concat!($($help),+),
                    FAMILIES,
                    self.$field,
                )),+];
                own.into_iter()$(.chain(self.$inner.counters()))*
            }
        }
    };
    (@label) => { None };
    (@label $label:ident = $value:literal) => { Some((stringify!($label), $value)) };
}

#[cfg(test)]
#[expect(unreachable_pub, reason = "the macro makes public types")]
mod tests {
    mod inner {
        counters! {
            /// Of something inside.
            pub struct Inner {
                /// What is deep.
                deep => "deep_total",
            }
            families {}
            with {}
        }
    }

    counters! {
        /// Of all.
        pub struct Outer {
            /// What was done, and how often
            /// that was.
            done => "things_total" [result = "done"],
            /// What was refused.
            refused => "things_total" [result = "refused"],
            /// What is alone.
            alone => "alone_total",
        }
        families { "things_total": "Things by what came of them.", }
        with {
            /// Inside.
            inner: inner::Inner,
        }
    }

    #[test]
    fn each_field_is_a_counter_with_its_help_its_metric_and_its_value() {
        let inner = inner::Inner { deep: 4 };
        let outer = Outer { done: 1, refused: 2, alone: 3, inner };
        let all: Vec<_> = outer.counters().collect();
        let told: Vec<_> = all.iter().map(|it| (it.name, it.metric, it.label, it.value)).collect();
        assert_eq!(
            told,
            [
                ("done", "things_total", Some(("result", "done")), 1),
                ("refused", "things_total", Some(("result", "refused")), 2),
                ("alone", "alone_total", None, 3),
                ("deep", "deep_total", None, 4),
            ]
        );
        assert_eq!(all[0].help, "What was done, and how often that was.");
        assert_eq!(all[0].metric_help, "Things by what came of them.");
        assert_eq!(all[2].metric_help, "What is alone.");
    }
}
