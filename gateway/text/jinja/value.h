// The values of a chat template at run time. Text carries its origin; lists and maps are immutable and
// shared, so that copying a value is cheap. What changes (namespaces, loops, iterators) is shared by
// reference, as in Python; what could close a cycle (MayHoldScope) can't be stored in another value. One
// render on one thread at a time. Always: containers nest no deeper than kMaxValueDepth and weigh no more
// than kMaxValueBytes.
#pragma once

#include <concepts>
#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "gateway/text/origin_text.h"

namespace quire::gateway::jinja {

inline constexpr int kMaxValueDepth = 100;
// Of the text in one value, shared parts counted as often as they occur: what printing it may cost.
inline constexpr size_t kMaxValueBytes = 64 << 20;

class Value;
struct Statement;

// What a name without a value gives: prints as nothing, is false, but has no attributes. `hint` is for
// errors.
struct Undefined {
  std::string hint;
};
struct None {};
struct Function {  // one of the built-in functions
  std::string name;
};
struct List;
struct Map;
struct Namespace;
struct Iterator;
struct Loop;
struct Method;
struct Macro;
using TextRef = std::shared_ptr<const OriginText>;
// Text that counts as HTML already (`safe`, `escape`): what is added to it by + or % gets escaped.
struct Markup {
  TextRef text;
};
using ListRef = std::shared_ptr<const List>;
using MapRef = std::shared_ptr<const Map>;
using NamespaceRef = std::shared_ptr<Namespace>;
using IteratorRef = std::shared_ptr<Iterator>;
using LoopRef = std::shared_ptr<Loop>;
using MethodRef = std::shared_ptr<const Method>;
using MacroRef = std::shared_ptr<const Macro>;
using Scope = absl::flat_hash_map<std::string, Value>;

// Python's types of sequence, which print and compare differently. A group is groupby's pair of grouper,
// list.
enum class ListKind { kList, kTuple, kGroup, kKeys, kValues, kItems };

class Value {
 public:
  using Entries = std::vector<std::pair<Value, Value>>;

  Value() : data_(Undefined{}) {}
  Value(None none) : data_(none) {}
  template <typename T>
  requires std::same_as<T, bool> Value(T value) : data_(value) {}  // not from pointers
  Value(int64_t value) : data_(value) {}
  Value(double value) : data_(value) {}
  Value(OriginText text) : data_(std::make_shared<const OriginText>(std::move(text))) {}
  Value(Function function) : data_(std::move(function)) {}
  Value(NamespaceRef object) : data_(std::move(object)) {}
  Value(LoopRef loop) : data_(std::move(loop)) {}
  Value(MacroRef macro) : data_(std::move(macro)) {}
  Value(MethodRef method) : data_(std::move(method)) {}

  static Value UndefinedNamed(std::string hint);
  static Value TemplateText(std::string_view text) {
    return OriginText(std::string(text), Origin::kTemplate);
  }
  static Value MarkupText(OriginText text);
  // Refused: too deep, too large, or an item that can't be stored or, as a key, can't be hashed. A later
  // entry of the same key wins, in the first one's place.
  static absl::StatusOr<Value> MakeList(std::vector<Value> items, ListKind kind = ListKind::kList);
  static absl::StatusOr<Value> MakeMap(Entries entries);
  // What map, select and their like give: true whatever it holds, and gone once it was looped over.
  static absl::StatusOr<Value> MakeIterator(std::vector<Value> items);
  static absl::StatusOr<Value> FromJson(const nlohmann::ordered_json& json, Origin origin);

  template <typename T>
  const T* As() const {
    return std::get_if<T>(&data_);
  }
  template <typename T>
  bool Is() const {
    return As<T>() != nullptr;
  }
  // The text (markup too), list or map, or null.
  const OriginText* AsText() const;
  const List* AsList() const;
  const Map* AsMap() const;
  bool IsTuple() const;
  // A bool, int or float as a number.
  bool IsNumber() const { return Is<bool>() || Is<int64_t>() || Is<double>(); }
  bool IsInteger() const { return Is<bool>() || Is<int64_t>(); }
  int64_t Integer() const;
  double Number() const;

  bool Truthy() const;
  bool Equals(const Value& other) const;
  // Equal for equal values; none for what Python can't hash.
  std::optional<std::string> HashKey() const;
  bool MayHoldScope() const;
  // For error messages: "a string", "None".
  std::string KindName() const;
  int depth() const;      // 0 for scalars
  size_t weight() const;  // bytes of all its text, plus a few for each value in it

 private:
  template <typename Ref>
  static Value Wrap(Ref ref) {
    Value value;
    value.data_ = std::move(ref);
    return value;
  }

  std::variant<Undefined, None, bool, int64_t, double, TextRef, Markup, ListRef, MapRef, NamespaceRef,
               IteratorRef, LoopRef, Function, MethodRef, MacroRef>
      data_;
};

struct List {
  std::vector<Value> items;
  ListKind kind = ListKind::kList;
  int depth = 1;
  size_t weight = 1;

  bool IsTuple() const { return kind == ListKind::kTuple || kind == ListKind::kGroup; }
};

struct Map {
  Value::Entries entries;                          // in insertion order
  absl::flat_hash_map<std::string, size_t> index;  // by HashKey
  int depth = 1;
  size_t weight = 1;

  // Null for a key that is not there or can't be hashed.
  const Value* Find(const Value& key) const;
  const Value* FindText(std::string_view key) const;
};

struct Namespace {
  std::map<std::string, Value> values;
};

struct Iterator {
  std::vector<Value> items;  // those that are left
  int depth = 1;
  size_t weight = 1;
};

// The `loop` of a for, one for all its iterations.
struct Loop {
  std::shared_ptr<const std::vector<Value>> items;
  size_t index = 0;
  int depth = 0;                         // of recursion, from 0
  const Statement* recursive = nullptr;  // the for that loop(...) runs again
  size_t outer_scopes = 0;               // how many scopes are around it
  std::optional<Value> changed;          // what loop.changed saw last
};

// A method that was looked up: object.name without its call.
struct Method {
  Value object;
  std::string name;
};

struct Macro {
  const Statement* statement;   // of the template, which outlives the render
  std::vector<Scope> captured;  // the scopes around its definition, less the template's own
};

// What {{ value }} prints: Python's str().
OriginText Print(const Value& value);
// Python's repr().
OriginText Repr(const Value& value);
// Python's repr() of a float: 1.0, 1e-05, 1e+16.
std::string PrintFloat(double value);

struct JsonStyle {
  std::optional<std::string> indent;
  std::optional<std::string> item_separator;  // ", ", or "," with an indent
  std::string key_separator = ": ";
  bool ascii = false;
  bool sort_keys = false;
};
// json.dumps. Structure counts as user bytes.
absl::StatusOr<OriginText> ToJson(const Value& value, const JsonStyle& style);

}  // namespace quire::gateway::jinja
