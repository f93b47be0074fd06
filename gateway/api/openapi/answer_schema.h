// JSON Schema in few words, for what is answered: each door says beside its writers what they write, and
// tests hold real answers to it (tests/e2e/test_openapi.py). Objects are closed, and have all of their
// members but those whose name ends in "?". Pure; part of the making of the document.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

namespace quire::gateway::schema {

using Schema = nlohmann::ordered_json;
using Members = std::vector<std::pair<std::string, Schema>>;

Schema Object(const Members& members);
// To another one of the document.
Schema Ref(const std::string& name);
Schema List(Schema items, size_t most = SIZE_MAX);
Schema EmptyList();
// One or more.
Schema Filled(Schema list);
Schema OrNull(Schema schema);
Schema OneOf(const std::vector<std::string>& names);

Schema Text();
Schema TextOrNull();
Schema Count();  // 0 and more
Schema Number();
Schema NumberOrNull();
Schema Dollars();
Schema Flag();
Schema Null();
Schema AnyObject();
Schema Just(Schema value);
Schema Words(Schema list);
// Of a request, or of something of it.
Schema Id(const std::string& prefix);

Schema About(std::string text, Schema schema);

}  // namespace quire::gateway::schema
