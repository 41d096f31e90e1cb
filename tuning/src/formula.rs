//! The little language of the catalogue: a wanted value as a function of the plan and the machine.
//!
//! Whole numbers, names, `+ - * /`, comparisons (1 or 0), and the functions `min`, `max`, `pow2` (the next power of two) and
//! `if(condition, then, else)`. Nothing overflows: results stay at the ends of their range. Division by zero gives zero.

use std::fmt;

use serde::Deserialize;

/// Formulas are short; the bound keeps a slip in the catalogue from using up the stack.
const DEPTH_MAX: usize = 32;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    Number(i128),
    Name(String),
    Call(Function, Vec<Self>),
    Binary(Operator, Box<Self>, Box<Self>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    Min,
    Max,
    Pow2,
    If,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Equal,
}

/// A formula, and its text for the docs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Formula {
    text: String,
    node: Node,
}

impl TryFrom<String> for Formula {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let mut parser = Parser { rest: &text, depth: 0 };
        let node = parser.comparison().map_err(|why| format!("{text:?}: {why}"))?;
        if !parser.rest.trim().is_empty() {
            return Err(format!("{text:?}: nothing can come before {:?}", parser.rest.trim()));
        }
        Ok(Self { text, node })
    }
}

impl fmt::Display for Formula {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

impl Formula {
    /// The formula's value, or the first name that `value` does not know.
    ///
    /// # Errors
    /// With that name.
    pub fn evaluate(&self, value: &dyn Fn(&str) -> Option<i128>) -> Result<i128, String> {
        evaluate(&self.node, value)
    }

    /// Whether a name stands in it.
    #[must_use]
    pub fn mentions(&self, name: &str) -> bool {
        mentions(&self.node, name)
    }
}

fn mentions(node: &Node, name: &str) -> bool {
    match node {
        Node::Number(_) => false,
        Node::Name(known) => known == name,
        Node::Call(_, arguments) => arguments.iter().any(|node| mentions(node, name)),
        Node::Binary(_, left, right) => mentions(left, name) || mentions(right, name),
    }
}

fn evaluate(node: &Node, value: &dyn Fn(&str) -> Option<i128>) -> Result<i128, String> {
    match node {
        Node::Number(number) => Ok(*number),
        Node::Name(name) => value(name).ok_or_else(|| name.clone()),
        Node::Call(function, arguments) => {
            let argument = |index: usize| evaluate(&arguments[index], value);
            match function {
                Function::Min => Ok(argument(0)?.min(argument(1)?)),
                Function::Max => Ok(argument(0)?.max(argument(1)?)),
                Function::Pow2 => Ok(next_power_of_two(argument(0)?)),
                Function::If => argument(if argument(0)? != 0 { 1 } else { 2 }),
            }
        }
        Node::Binary(operator, left, right) => {
            let (left, right) = (evaluate(left, value)?, evaluate(right, value)?);
            Ok(match operator {
                Operator::Add => left.saturating_add(right),
                Operator::Subtract => left.saturating_sub(right),
                Operator::Multiply => left.saturating_mul(right),
                Operator::Divide => left.checked_div(right).unwrap_or(0),
                Operator::Less => i128::from(left < right),
                Operator::LessEqual => i128::from(left <= right),
                Operator::Greater => i128::from(left > right),
                Operator::GreaterEqual => i128::from(left >= right),
                Operator::Equal => i128::from(left == right),
            })
        }
    }
}

fn next_power_of_two(number: i128) -> i128 {
    let positive = u128::try_from(number).unwrap_or(0);
    let power = positive.checked_next_power_of_two();
    power.and_then(|power| i128::try_from(power).ok()).unwrap_or(i128::MAX)
}

struct Parser<'t> {
    rest: &'t str,
    depth: usize,
}

impl<'t> Parser<'t> {
    fn eat(&mut self, token: &str) -> bool {
        let rest = self.rest.trim_start();
        let found = rest.strip_prefix(token);
        self.rest = found.unwrap_or(rest);
        found.is_some()
    }

    fn comparison(&mut self) -> Result<Node, String> {
        let left = self.sum()?;
        // The longer ones first: `<=` begins with `<`.
        let operators = [
            ("<=", Operator::LessEqual),
            (">=", Operator::GreaterEqual),
            ("==", Operator::Equal),
            ("<", Operator::Less),
            (">", Operator::Greater),
        ];
        for (token, operator) in operators {
            if self.eat(token) {
                return Ok(Node::Binary(operator, Box::new(left), Box::new(self.sum()?)));
            }
        }
        Ok(left)
    }

    fn sum(&mut self) -> Result<Node, String> {
        let mut left = self.product()?;
        loop {
            let operator = match () {
                () if self.eat("+") => Operator::Add,
                () if self.eat("-") => Operator::Subtract,
                () => return Ok(left),
            };
            left = Node::Binary(operator, Box::new(left), Box::new(self.product()?));
        }
    }

    fn product(&mut self) -> Result<Node, String> {
        let mut left = self.atom()?;
        loop {
            let operator = match () {
                () if self.eat("*") => Operator::Multiply,
                () if self.eat("/") => Operator::Divide,
                () => return Ok(left),
            };
            left = Node::Binary(operator, Box::new(left), Box::new(self.atom()?));
        }
    }

    fn atom(&mut self) -> Result<Node, String> {
        if self.eat("(") {
            self.deeper()?;
            let inner = self.comparison()?;
            self.depth -= 1;
            return if self.eat(")") { Ok(inner) } else { Err("a ) is missing".to_owned()) };
        }
        let word = self.word();
        if word.is_empty() {
            return Err(format!("a number or a name is missing before {:?}", self.rest));
        }
        if word.starts_with(|first: char| first.is_ascii_digit()) {
            let digits = word.replace('_', "");
            return digits.parse().map(Node::Number).map_err(|_| format!("{word:?} is no number"));
        }
        if !self.eat("(") {
            return Ok(Node::Name(word.to_owned()));
        }
        let (function, count) = match word {
            "min" => (Function::Min, 2),
            "max" => (Function::Max, 2),
            "pow2" => (Function::Pow2, 1),
            "if" => (Function::If, 3),
            _ => return Err(format!("there is no function {word:?}")),
        };
        self.deeper()?;
        let mut arguments = vec![self.comparison()?];
        while self.eat(",") {
            arguments.push(self.comparison()?);
        }
        self.depth -= 1;
        if !self.eat(")") || arguments.len() != count {
            return Err(format!("{word} takes {count} arguments and a )"));
        }
        Ok(Node::Call(function, arguments))
    }

    fn word(&mut self) -> &'t str {
        let rest = self.rest.trim_start();
        let is_part = |part: char| part.is_ascii_alphanumeric() || part == '_';
        let end = rest.find(|part| !is_part(part)).unwrap_or(rest.len());
        let (word, rest) = rest.split_at(end);
        self.rest = rest;
        word
    }

    fn deeper(&mut self) -> Result<(), String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX { Err("too deep".to_owned()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::Formula;

    fn value(text: &str) -> Result<i128, String> {
        let names = |name: &str| match name {
            "connections" => Some(100_000),
            "cpus" => Some(2),
            "huge" => Some(i128::MAX),
            _ => None,
        };
        Formula::try_from(text.to_owned()).unwrap().evaluate(&names)
    }

    #[test]
    fn formulas_say_what_they_seem_to() {
        assert_eq!(value("1 + 2 * 3"), Ok(7));
        assert_eq!(value("(1 + 2) * 3"), Ok(9));
        assert_eq!(value("10 - 2 - 3"), Ok(5));
        assert_eq!(value("pow2(min(connections, 4_096))"), Ok(4_096));
        assert_eq!(value("pow2(connections)"), Ok(131_072));
        assert_eq!(value("if(cpus > 4, 1, max(cpus, 3))"), Ok(3));
        assert_eq!(value("connections >= 100000"), Ok(1));
        assert_eq!(value("connections == 1"), Ok(0));
        assert_eq!(
            value("if(connections, 5, unknown)"),
            Ok(5),
            "what is not asked for is not needed"
        );
    }

    #[test]
    fn nothing_overflows_and_nothing_is_guessed() {
        assert_eq!(value("huge * huge + huge"), Ok(i128::MAX));
        assert_eq!(value("pow2(huge)"), Ok(i128::MAX));
        assert_eq!(value("pow2(0 - 5)"), Ok(1));
        assert_eq!(value("cpus / 0"), Ok(0));
        assert_eq!(value("cpus + memory"), Err("memory".to_owned()));
    }

    #[test]
    fn what_is_no_formula_is_refused() {
        let deep = format!("{}1{}", "(".repeat(40), ")".repeat(40));
        for text in [
            "",
            "1 +",
            "max(1)",
            "sum(1, 2)",
            "(1",
            "1 2",
            "1a",
            "99999999999999999999999999999999999999999",
            &deep,
        ] {
            assert!(Formula::try_from(text.to_owned()).is_err(), "{text:?}");
        }
    }
}
