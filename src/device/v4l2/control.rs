//! Which controls a node has, and what they are called.

use std::io;

use v4l::v4l_sys as sys;

use super::{MOST, Node, text};
use crate::device::Control;

/// What kind of number a control holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A number within a range.
    Integer,
    /// 0 or 1.
    Boolean,
    /// The number of an item with a name.
    Menu,
    /// The number of an item that is itself a number.
    IntegerMenu,
    /// Any of the bits of the maximum.
    Bitmask,
}

impl Kind {
    /// `None` for what does not hold one number of 32 bits: buttons, headings,
    /// texts, matrices.
    fn of(query: &sys::v4l2_query_ext_ctrl) -> Option<Self> {
        if query.nr_of_dims != 0 {
            return None;
        }
        match query.type_ {
            sys::v4l2_ctrl_type_V4L2_CTRL_TYPE_INTEGER => Some(Self::Integer),
            sys::v4l2_ctrl_type_V4L2_CTRL_TYPE_BOOLEAN => Some(Self::Boolean),
            sys::v4l2_ctrl_type_V4L2_CTRL_TYPE_MENU => Some(Self::Menu),
            sys::v4l2_ctrl_type_V4L2_CTRL_TYPE_INTEGER_MENU => Some(Self::IntegerMenu),
            sys::v4l2_ctrl_type_V4L2_CTRL_TYPE_BITMASK => Some(Self::Bitmask),
            _ => None,
        }
    }
}

/// A control as the driver lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub control: Control,
    pub kind: Kind,
    /// Another control has taken it over.
    pub inactive: bool,
    /// It has a value to ask for.
    pub readable: bool,
}

impl Node {
    /// Every control that holds one number of 32 bits, in the driver's order.
    /// What was listed before a driver fails is good.
    pub(crate) fn controls(&self) -> io::Result<Vec<Listed>> {
        let mut controls: Vec<Listed> = Vec::new();
        let mut last = 0;
        for _ in 0..MOST {
            let query = match self.next_control(last) {
                Ok(query) => query,
                Err(e) if e.raw_os_error() == Some(libc::EINVAL) || last > 0 => break,
                Err(e) => return Err(e),
            };
            // Ids rise, or it would never end.
            if query.id <= last {
                break;
            }
            last = query.id;
            // Names are what people use; the first of a name has it.
            if let Some(new) = self.describe(&query)
                && controls.iter().all(|c| c.control.name != new.control.name)
            {
                controls.push(new);
            }
        }
        Ok(controls)
    }

    fn describe(&self, query: &sys::v4l2_query_ext_ctrl) -> Option<Listed> {
        let has = |flag| query.flags & flag != 0;
        let kind = Kind::of(query).filter(|_| !has(sys::V4L2_CTRL_FLAG_DISABLED))?;
        let name = name_of(&text(&query.name.map(|c| c.to_ne_bytes()[0])));
        if name.is_empty() {
            return None;
        }
        let menu = match kind {
            Kind::Menu | Kind::IntegerMenu => self.menu(query, kind),
            Kind::Integer | Kind::Boolean | Kind::Bitmask => Vec::new(),
        };
        Some(Listed {
            control: Control {
                id: query.id,
                name,
                minimum: query.minimum,
                maximum: query.maximum,
                // Drivers have said 0 for "any".
                step: query.step.max(1),
                default: query.default_value,
                menu,
                writable: !has(sys::V4L2_CTRL_FLAG_READ_ONLY),
            },
            kind,
            inactive: has(sys::V4L2_CTRL_FLAG_INACTIVE),
            readable: !has(sys::V4L2_CTRL_FLAG_WRITE_ONLY),
        })
    }

    fn menu(&self, query: &sys::v4l2_query_ext_ctrl, kind: Kind) -> Vec<(i64, String)> {
        let first = query.minimum.max(0);
        let last = query.maximum.min(first.saturating_add(i64::from(MOST)));
        (first..=last)
            .filter_map(|value| {
                let index = u32::try_from(value).ok()?;
                Some((value, self.menu_item(query.id, index, kind)?))
            })
            .collect()
    }
}

/// The name of a control as `v4l2-ctl -l` writes it: lower case, and one `_`
/// for whatever stands between letters and digits.
pub(crate) fn name_of(title: &str) -> String {
    let words = title
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("_").to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_v4l2_ctl() {
        for (title, name) in [
            ("Brightness", "brightness"),
            ("White Balance, Automatic", "white_balance_automatic"),
            ("Pan (Absolute)", "pan_absolute"),
            ("  -- ", ""),
            ("3A Lock", "3a_lock"),
        ] {
            assert_eq!(name_of(title), name);
        }
    }
}
