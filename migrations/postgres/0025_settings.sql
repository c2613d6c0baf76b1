-- Room: settings

-- What administrators have set; a name without a row has its default. `value` is JSON.
create table settings (
    name  text primary key,
    value text not null
);
