//! One file per verb, or per group of small ones.

pub(crate) mod control;
pub(crate) mod env;
pub(crate) mod export;
pub(crate) mod list;
pub(crate) mod logs;
mod meet;
pub(crate) mod pause;
pub(crate) mod up;
pub(crate) mod wire;
