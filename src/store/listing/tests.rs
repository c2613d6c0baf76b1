use super::*;
use crate::store::testing;

/// A few rows without a table, the same in both databases.
const FRUIT: Selection = Selection {
    columns: "id, name",
    from: "(select 1 as id, 'apple' as name, 10 as weight, true as ripe, 1000 as at_ms \
           union all select 2, 'Pear', 20, false, 2000 \
           union all select 3, '100% pear_juice', 30, true, 3000) fruit",
    condition: "weight >= $1",
    fields: &[
        Field::text("name", "name"),
        Field::integer("weight", "weight"),
        Field::boolean("ripe", "ripe"),
        Field::time("at", "at_ms"),
    ],
    key: "id",
};

async fn names(lightest: i64, listing: &Listing) -> Result<Vec<String>, Error> {
    let mut answers = Vec::new();
    for db in testing::databases().await {
        let fixed = vec![Value::Integer(lightest)];
        let page: Page<(i32, String)> = db.page(&FRUIT, fixed, listing).await?;
        let names: Vec<String> = page.items.into_iter().map(|row| row.1).collect();
        answers.push((names, page.total));
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]));
    Ok(answers.swap_remove(0).0)
}

fn by(field: &str, test: Test) -> Listing {
    Listing {
        filters: vec![Filter {
            field: field.to_owned(),
            test,
        }],
        ..Listing::default()
    }
}

fn text(text: &str) -> String {
    text.to_owned()
}

#[tokio::test]
async fn filters_mean_the_same_in_both_databases() {
    let range = |min: Option<&str>, max: Option<&str>| Test::Range {
        min: min.map(text),
        max: max.map(text),
    };
    let cases = [
        (by("name", Test::Equals(text("apple"))), vec!["apple"]),
        (by("name", Test::Equals(text("APPLE"))), vec![]),
        (
            by("name", Test::Contains(text("PEAR"))),
            vec!["Pear", "100% pear_juice"],
        ),
        (
            by("name", Test::Contains(text("0%"))),
            vec!["100% pear_juice"],
        ),
        (by("name", Test::Contains(text("r%j"))), vec![]),
        (
            by("name", Test::Contains(text("_"))),
            vec!["100% pear_juice"],
        ),
        (by("name", Test::Contains(text("\\"))), vec![]),
        (by("name", Test::Equals(text("' or 1=1 --"))), vec![]),
        (
            by("weight", Test::AnyOf(vec![text("10"), text("20")])),
            vec!["apple", "Pear"],
        ),
        (by("weight", Test::AnyOf(vec![])), vec![]),
        (
            by("weight", range(Some("20"), None)),
            vec!["Pear", "100% pear_juice"],
        ),
        (by("weight", range(Some("11"), Some("29"))), vec!["Pear"]),
        (by("ripe", Test::Equals(text("false"))), vec!["Pear"]),
        (
            by("at", range(None, Some("1970-01-01T00:00:02Z"))),
            vec!["apple", "Pear"],
        ),
        (
            by("at", range(Some("1970-01-01 00:00:03"), None)),
            vec!["100% pear_juice"],
        ),
    ];
    for (listing, expected) in cases {
        assert_eq!(names(0, &listing).await.unwrap(), expected, "{listing:?}");
    }
    let heavy = by("ripe", Test::Equals(text("true")));
    assert_eq!(names(11, &heavy).await.unwrap(), ["100% pear_juice"]);
}

#[tokio::test]
async fn pages_are_sorted_and_cut_and_know_the_total() {
    let listing = Listing {
        sort: vec![
            Sort {
                field: text("ripe"),
                descending: true,
            },
            Sort {
                field: text("weight"),
                descending: true,
            },
        ],
        offset: 1,
        limit: Some(1),
        ..Listing::default()
    };
    for db in testing::databases().await {
        let fixed = vec![Value::Integer(0)];
        let page: Page<(i32, String)> = db.page(&FRUIT, fixed, &listing).await.unwrap();
        assert_eq!(page.items, [(1, text("apple"))]);
        assert_eq!(page.total, 3);
    }
}

#[tokio::test]
async fn unknown_fields_and_values_are_refused() {
    let sorted_by = |field: &str| Listing {
        sort: vec![Sort {
            field: text(field),
            descending: false,
        }],
        ..Listing::default()
    };
    for listing in [
        by("colour", Test::Equals(text("red"))),
        by("id; drop table users", Test::Equals(text("1"))),
        sorted_by("colour"),
        sorted_by("name desc"),
        by("weight", Test::Equals(text("ten"))),
        by("ripe", Test::Contains(text("maybe"))),
        by("at", Test::Equals(text("yesterday"))),
    ] {
        let error = names(0, &listing).await.unwrap_err();
        assert!(matches!(error, Error::Listing(_)), "{listing:?}: {error}");
    }
}
