//! The macros that join the arms of a lesson. A build without baselines has other definitions of the same macros.

/// Declares a component: the type that is one arm of a lesson, selected at startup.
///
/// ```ignore
/// component! {
///     /// Inserts the lines of an order.
///     pub OrderLines: techniques::OrderLines {
///         baseline RowByRow = row_by_row::RowByRow,
///         optimized OneStatement = one_statement::OneStatement,
///     }
///     pub select(settings: &Settings);
///     pub async fn insert(&self, order: Uuid) -> Result<(), sqlx::Error>;
/// }
/// ```
///
/// expands to an enum with a variant per arm, to `OrderLines::select(arm, settings)`, which calls the selected arm's
/// `new(settings)`, and to the methods, each a `match` that calls the arm's method of the same name:
///
/// ```ignore
/// pub enum OrderLines { RowByRow(row_by_row::RowByRow), OneStatement(one_statement::OneStatement) }
/// impl OrderLines {
///     pub async fn insert(&self, order: Uuid) -> Result<(), sqlx::Error> {
///         match self {
///             Self::RowByRow(arm) => arm.insert(order).await,
///             Self::OneStatement(arm) => arm.insert(order).await,
///         }
///     }
/// }
/// ```
///
/// Without baselines, `OrderLines` is another name of `one_statement::OneStatement`, and only `select` is added. The arms of
/// `select()` are unit structs. A constructor that can fail is declared as `select(…) -> Result<Self, Error>`. Generic
/// parameters of a method stand in brackets: `fn run[T: Send](…)`.
#[cfg(feature = "baselines")]
#[macro_export]
macro_rules! component {
    (
        $(#[doc = $doc:literal])* $(#[derive($($derive:ident),+)])?
        $vis:vis $name:ident: $lesson:ty { $(baseline $base:ident = $base_arm:path,)+ optimized $best:ident = $best_arm:path $(,)? }
        $select_vis:vis select($($input:ident: $input_type:ty),* $(,)?) $(-> $result:ty)?;
        $($methods:tt)*
    ) => {
        $(#[doc = $doc])* $(#[derive($($derive),+)])?
        $vis enum $name { $($base($base_arm),)+ $best($best_arm) }
        impl $name {
            $crate::component! { @select $select_vis $lesson, [$([$base, $base_arm])+ [$best, $best_arm]]
                ($($input: $input_type),*) ($($input),*) [$($result)?] }
        }
        $crate::component! { @methods $name [$($base)+ $best] $($methods)* }
    };
    (@select $vis:vis $lesson:ty, [$([$arm:ident, $type:path])+] () () []) => {
        /// Returns the arm.
        $vis fn select(arm: $lesson) -> Self {
            match arm { $(<$lesson>::$arm => Self::$arm($type),)+ }
        }
    };
    (@select $vis:vis $lesson:ty, [$([$arm:ident, $type:path])+] ($($inputs:tt)*) $values:tt []) => {
        /// Builds the arm.
        $vis fn select(arm: $lesson, $($inputs)*) -> Self {
            match arm { $(<$lesson>::$arm => Self::$arm(<$type>::new $values),)+ }
        }
    };
    (@select $vis:vis $lesson:ty, [$([$arm:ident, $type:path])+] ($($inputs:tt)*) $values:tt [$result:ty]) => {
        /// Builds the arm.
        ///
        /// # Errors
        /// When the arm can't use its settings.
        $vis fn select(arm: $lesson, $($inputs)*) -> $result {
            Ok(match arm { $(<$lesson>::$arm => Self::$arm(<$type>::new $values?),)+ })
        }
    };
    (@methods $name:ident $arms:tt $(
        $(#[$meta:meta])*
        $vis:vis $(async $($async:lifetime)?)? fn $method:ident $([$($generics:tt)*])?
        ($(& $($ref:lifetime)?)? $self:ident $(, $argument:ident: $type:ty)* $(,)?) $(-> $return:ty)?;
    )*) => {
        impl $name { $(
            $(#[$meta])*
            $vis $(async $($async)?)? fn $method $(<$($generics)*>)?
            ($(& $($ref)?)? $self $(, $argument: $type)*) $(-> $return)? {
                $crate::component!(@match $self $arms $method ($($argument),*) $([await $($async)?])?)
            }
        )* }
    };
    (@match $self:ident [$($arm:ident)+] $method:ident $arguments:tt) => {
        match $self { $(Self::$arm(arm) => arm.$method $arguments,)+ }
    };
    (@match $self:ident [$($arm:ident)+] $method:ident $arguments:tt [await]) => {
        match $self { $(Self::$arm(arm) => arm.$method $arguments.await,)+ }
    };
}

/// The component is its only arm.
#[cfg(not(feature = "baselines"))]
#[macro_export]
macro_rules! component {
    (
        $(#[doc = $doc:literal])* $(#[derive($($derive:ident),+)])?
        $vis:vis $name:ident: $lesson:ty { $(baseline $base:ident = $base_arm:path,)+ optimized $best:ident = $best_arm:path $(,)? }
        $select_vis:vis select($($input:ident: $input_type:ty),* $(,)?) $(-> $result:ty)?;
        $($methods:tt)*
    ) => {
        $(#[doc = $doc])*
        $vis type $name = $best_arm;
        impl $name {
            $crate::component! { @select $select_vis $lesson, $best_arm, ($($input: $input_type),*) ($($input),*) [$($result)?] }
        }
    };
    (@select $vis:vis $lesson:ty, $arm:path, () () []) => {
        /// Returns the only arm.
        $vis fn select(_: $lesson) -> Self { $arm }
    };
    (@select $vis:vis $lesson:ty, $arm:path, ($($inputs:tt)*) $values:tt [$($result:ty)?]) => {
        $crate::component! { @new $vis $lesson, ($($inputs)*) $values [$($result,)? Self,] }
    };
    (@new $vis:vis $lesson:ty, ($($inputs:tt)*) $values:tt [$result:ty, $($rest:ty,)?]) => {
        /// Builds the only arm.
        $vis fn select(_: $lesson, $($inputs)*) -> $result { Self::new $values }
    };
}

/// The expression of the selected arm: a handler, a layer, a text.
///
/// `select_arm!(arm => Compression { baseline None => a, baseline Gzip => b, optimized Brotli => c })` is a `match`. Without
/// baselines it has the optimized arm alone.
#[cfg(feature = "baselines")]
#[macro_export]
macro_rules! select_arm {
    ($arm:expr => $lesson:ty { $(baseline $base:ident => $base_value:expr,)+ optimized $best:ident => $best_value:expr $(,)? }) => {
        match $arm { $(<$lesson>::$base => $base_value,)+ <$lesson>::$best => $best_value }
    };
}

/// The optimized arm's expression.
#[cfg(not(feature = "baselines"))]
#[macro_export]
macro_rules! select_arm {
    ($arm:expr => $lesson:ty { $(baseline $base:ident => $base_value:expr,)+ optimized $best:ident => $best_value:expr $(,)? }) => {
        match $arm {
            <$lesson>::$best => $best_value,
        }
    };
}
