//! One file per verb, or per group of small ones.

pub(crate) mod control;
pub(crate) mod env;
pub(crate) mod list;
pub(crate) mod logs;
pub(crate) mod up;
