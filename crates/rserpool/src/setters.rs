//! Setters of configurations: a structure that may grow cannot be written out by its users.

/// Setters that chain, one for each of these fields. With `into` they take whatever becomes the
/// field: of an `Option`, what would be in it.
macro_rules! setters {
    ($($field:ident: $kind:tt $type:ty;)+) => {
        $(setters! { @one $field $kind $type })+
    };
    (@one $field:ident into $type:ty) => {
        #[doc = concat!("Sets [`", stringify!($field), "`](field@Self::", stringify!($field), ").")]
        #[must_use]
        pub fn $field(mut self, $field: impl Into<$type>) -> Self {
            self.$field = $field.into();
            self
        }
    };
    (@one $field:ident as $type:ty) => {
        #[doc = concat!("Sets [`", stringify!($field), "`](field@Self::", stringify!($field), ").")]
        #[must_use]
        pub fn $field(mut self, $field: $type) -> Self {
            self.$field = $field;
            self
        }
    };
}

pub(crate) use setters;
