#include "gateway/structured/schema_shapes.h"

#include <algorithm>
#include <cctype>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace quire::gateway {
namespace {

using nlohmann::ordered_json;

constexpr int kMaxSchemaDepth = 100;
constexpr int64_t kMaxSteps = 200'000;
constexpr size_t kMaxListedSchemas = 1'000, kMaxKeywords = 200;

Shapes AnyShapes() {
  return {NullShape{}, BooleanShape{}, NumberShape{}, StringShape{}, ArrayShape{}, ObjectShape{}};
}

// A part of a JSON pointer as it was before it was written into a reference.
std::string Unescaped(const std::string& part) {
  std::string name;
  for (size_t at = 0; at < part.size(); ++at) {
    const std::string_view rest = std::string_view(part).substr(at);
    const bool is_hex = rest.size() > 2 && std::isxdigit(static_cast<unsigned char>(rest[1])) != 0 &&
                        std::isxdigit(static_cast<unsigned char>(rest[2])) != 0;
    if (rest[0] == '%' && is_hex) {
      name += absl::HexStringToBytes(part.substr(at + 1, 2));
      at += 2;
    } else if (rest.starts_with("~0") || rest.starts_with("~1")) {
      name += rest[1] == '0' ? '~' : '/';
      ++at;
    } else {
      name += rest[0];
    }
  }
  return name;
}

const ordered_json* Member(const ordered_json& of, const std::string& name) {
  if (of.is_object()) {
    const auto found = of.find(name);
    return found == of.end() ? nullptr : &*found;
  }
  size_t index = 0;
  if (!of.is_array() || !absl::SimpleAtoi(name, &index) || index >= of.size()) return nullptr;
  return &of[index];
}

}  // namespace

// How deep it is in what is being read.
class SchemaShapes::Entered {
 public:
  explicit Entered(int& depth) : depth_(depth) { ++depth_; }
  ~Entered() { --depth_; }
  Entered(const Entered&) = delete;

 private:
  int& depth_;
};

void SchemaShapes::Fail(std::string path, std::string message) {
  if (!problem_) problem_ = SchemaProblem{std::move(path), std::move(message)};
}

void SchemaShapes::FailForSize() {
  if (!problem_) problem_ = SchemaProblem{"", "the schema makes too large a grammar", /*too_large=*/true};
}

void SchemaShapes::FailUnlessLoose(std::string path, std::string message) {
  if (!loose_) Fail(std::move(path), std::move(message));
}

// Cut where it gets long: names are the client's, and each schema has a path.
std::string SchemaShapes::PathOf(const Subschema& sub, const std::string& keyword) {
  constexpr size_t kMaxPathBytes = 400;
  if (sub.path.size() > kMaxPathBytes || keyword.size() > kMaxPathBytes) return sub.path;
  return sub.path.empty() ? keyword : absl::StrCat(sub.path, ".", keyword);
}

bool SchemaShapes::MayWork(size_t steps) {
  steps_ += static_cast<int64_t>(steps);
  if (!failed() && steps_ > kMaxSteps) {
    problem_ =
        SchemaProblem{"", "the schema is too large, or its allOf, anyOf and oneOf multiply to too much",
                      /*too_large=*/true};
  }
  return !failed();
}

const absl::StatusOr<StringAutomaton>& SchemaShapes::Automaton(const std::string& pattern) {
  if (const auto made = automata_.find(pattern); made != automata_.end()) return made->second;
  MayWork(1000);  // it may take thousands of states to find that they are too many
  const auto regex = ParseRegex(pattern, RegexUse::kSearch);
  absl::StatusOr<StringAutomaton> automaton =
      regex.ok() ? StringAutomaton::OfRegex(*regex) : absl::StatusOr<StringAutomaton>(regex.status());
  return automata_.emplace(pattern, std::move(automaton)).first->second;
}

Shapes SchemaShapes::Of(const Subschemas& all) {
  Shapes shapes = AnyShapes();
  for (const Subschema& sub : all) shapes = Both(shapes, Read(sub));
  return failed() ? Shapes() : shapes;
}

bool SchemaShapes::Takes(const Subschemas& all, const ordered_json& value) {
  return std::ranges::all_of(all, [&](const Subschema& sub) {
    const Shapes shapes = Read(sub);
    return std::ranges::any_of(shapes, [&](const Shape& shape) { return Fits(value, shape); });
  });
}

Shapes SchemaShapes::Read(const Subschema& sub) {
  if (failed()) return {};
  const Entered entered(depth_);
  if (depth_ > kMaxSchemaDepth) {
    Fail(sub.path, "the schema is nested too deep, or refers to itself without an end");
  } else if (!MayWork()) {
    return {};
  } else if (sub.schema->is_boolean()) {
    return sub.schema->get<bool>() ? AnyShapes() : Shapes();
  } else if (!sub.schema->is_object()) {
    Fail(sub.path, "give a schema: an object, or a boolean");
  } else if (sub.schema->size() > kMaxKeywords) {  // each of those that there are is looked for among them
    Fail(sub.path, "the schema has too many keywords");
  } else {
    return ReadObject(sub);
  }
  return {};
}

Shapes SchemaShapes::ReadObject(const Subschema& sub) {
  RefuseUnsupported(sub);
  Shapes shapes = Typed(sub);
  const ordered_json& schema = *sub.schema;
  if (schema.contains("enum") || schema.contains("const")) shapes = Both(Literals(sub), shapes);
  if (schema.contains("$ref")) shapes = Both(shapes, Referred(sub));
  if (schema.contains("allOf")) {
    for (const Subschema& part : List(sub, "allOf")) shapes = Both(shapes, Read(part));
  }
  if (schema.contains("anyOf")) shapes = Both(shapes, AnyOf(sub, "anyOf"));
  if (schema.contains("oneOf")) shapes = Both(shapes, OneOf(sub));
  return Dependent(sub, std::move(shapes));
}

void SchemaShapes::RefuseUnsupported(const Subschema& sub) {
  const auto refuse = [&](const char* keyword) {
    FailUnlessLoose(PathOf(sub, keyword), "this keyword can't be enforced: leave it out");
  };
  for (const char* keyword : {"not", "if", "then", "else", "contains", "minContains", "maxContains",
                              "$dynamicRef", "$recursiveRef"}) {
    if (sub.schema->contains(keyword)) refuse(keyword);
  }
  const auto unique = sub.schema->find("uniqueItems");
  const bool has_two = sub.schema->value("maxItems", ordered_json(2)) > 1;
  if (unique != sub.schema->end() && *unique == true && has_two) refuse("uniqueItems");
  // Beside these what is evaluated isn't what this schema declares.
  constexpr const char* kApply[] = {"$ref", "allOf", "anyOf", "oneOf", "dependentSchemas"};
  const bool applies =
      std::ranges::any_of(kApply, [&](const char* keyword) { return sub.schema->contains(keyword); });
  for (const char* keyword : {"unevaluatedItems", "unevaluatedProperties"}) {
    const auto found = sub.schema->find(keyword);
    if (found != sub.schema->end() && *found != true && applies) refuse(keyword);
  }
}

Shapes SchemaShapes::Referred(const Subschema& sub) {
  const ordered_json& reference = (*sub.schema)["$ref"];
  const std::string path = PathOf(sub, "$ref");
  const std::string text = reference.is_string() ? reference.get<std::string>() : "";
  if (text != "#" && !text.starts_with("#/")) {
    FailUnlessLoose(path, "give a reference within the schema, as \"#/$defs/name\"");
    return failed() ? Shapes() : AnyShapes();
  }
  const ordered_json* target = &root_;
  std::string target_path;
  if (text.size() > 2) {
    for (const std::string& part : std::vector<std::string>(absl::StrSplit(text.substr(2), '/'))) {
      const std::string name = Unescaped(part);
      target = Member(*target, name);
      if (target == nullptr) {
        Fail(path, "there is nothing where it refers to");
        return {};
      }
      target_path = target_path.empty() ? name : absl::StrCat(target_path, ".", name);
    }
  }
  return Read({target, target_path});
}

std::vector<Subschema> SchemaShapes::List(const Subschema& sub, const char* keyword) {
  const ordered_json& list = (*sub.schema)[keyword];
  std::vector<Subschema> parts;
  if (!list.is_array() || list.empty()) {
    Fail(PathOf(sub, keyword), "give a list of schemas that isn't empty");
    return parts;
  }
  if (list.size() > kMaxListedSchemas) Fail(PathOf(sub, keyword), "give at most 1000");
  for (size_t i = 0; i < list.size() && !failed(); ++i) {
    parts.push_back({&list[i], absl::StrCat(PathOf(sub, keyword), ".", i)});
  }
  return parts;
}

Shapes SchemaShapes::AnyOf(const Subschema& sub, const char* keyword) {
  Shapes any;
  for (const Subschema& part : List(sub, keyword)) {
    const Shapes shapes = Read(part);
    any.insert(any.end(), shapes.begin(), shapes.end());
  }
  return failed() ? Shapes() : any;
}

Shapes SchemaShapes::OneOf(const Subschema& sub) {
  const std::string path = PathOf(sub, "oneOf");
  const int64_t narrowed = narrowed_;
  std::vector<Shapes> branches;
  for (const Subschema& part : List(sub, "oneOf")) {
    branches.push_back(Read(part));
  }
  // Without a type a branch takes all of other types, beside what its shapes say.
  const auto all_objects = [](const Shapes& shapes) {
    return std::ranges::all_of(shapes, [](const Shape& s) { return std::holds_alternative<ObjectShape>(s); });
  };
  bool apart = narrowed == narrowed_ || (sub.schema->value("type", ordered_json()) == "object" &&
                                         std::ranges::all_of(branches, all_objects));
  const std::vector<Shapes> as_said = branches;
  for (size_t i = 0; i < branches.size() && !failed(); ++i) {
    for (size_t k = i + 1; k < branches.size() && !failed(); ++k) {
      apart = apart && TellApart({as_said[i], branches[i]}, {as_said[k], branches[k]});
    }
  }
  if (!apart) {
    FailUnlessLoose(path,
                    "a value could fit two of its schemas: use anyOf, or give each a type or a property "
                    "with a const of its own");
  }
  Shapes all;
  for (const Shapes& branch : branches) all.insert(all.end(), branch.begin(), branch.end());
  return failed() ? Shapes() : all;
}

void SchemaShapes::AskFor(const ordered_json& names, const std::string& path, ObjectShape& with) {
  if (!names.is_array() || names.size() > kMaxListedSchemas)
    return Fail(path, "give a list of at most 1000 names");
  for (const ordered_json& name : names) {
    if (!name.is_string()) return Fail(path, "give a list of names");
    if (with.Find(name) == nullptr) with.properties.push_back({.name = name, .value = {}, .required = true});
  }
}

// Where a property asks for others: it isn't there, or they are, too.
Shapes SchemaShapes::Dependent(const Subschema& sub, Shapes shapes) {
  for (const char* keyword : {"dependentRequired", "dependentSchemas"}) {
    const ordered_json* map = Object(sub, keyword);
    if (map == nullptr) continue;
    for (const auto& [name, asks] : map->items()) {
      ObjectShape without{.properties = {{.name = name, .value = {}, .forbidden = true}}};
      ObjectShape with{.properties = {{.name = name, .value = {}, .required = true}}};
      Shapes either = AnyShapes();
      either.back() = without;
      const std::string path = absl::StrCat(PathOf(sub, keyword), ".", name);
      if (keyword == std::string_view("dependentSchemas")) {
        for (Shape& shape : Both({with}, Read({&asks, path}))) either.push_back(std::move(shape));
      } else {
        AskFor(asks, path, with);
        either.push_back(with);
      }
      shapes = Both(shapes, either);
    }
  }
  return failed() ? Shapes() : shapes;
}

}  // namespace quire::gateway
