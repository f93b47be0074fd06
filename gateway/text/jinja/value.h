// The values of a chat template at run time. Text carries its origin; lists and maps are immutable and
// shared, so that copying a value is cheap; only a namespace changes, and it can't be stored in another
// value, so there are no cycles. One render on one thread at a time. Always: containers nest no deeper than
// kMaxValueDepth and weigh no more than kMaxValueBytes.
#pragma once

#include <concepts>
#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
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
using TextRef = std::shared_ptr<const OriginText>;
using ListRef = std::shared_ptr<const List>;
using MapRef = std::shared_ptr<const Map>;
using NamespaceRef = std::shared_ptr<Namespace>;

class Value {
 public:
  using Entries = std::vector<std::pair<OriginText, Value>>;

  Value() : data_(Undefined{}) {}
  Value(None none) : data_(none) {}
  template <typename T>
  requires std::same_as<T, bool> Value(T value) : data_(value) {}  // not from pointers
  Value(int64_t value) : data_(value) {}
  Value(double value) : data_(value) {}
  Value(OriginText text) : data_(std::make_shared<const OriginText>(std::move(text))) {}
  Value(Function function) : data_(std::move(function)) {}
  Value(NamespaceRef object) : data_(std::move(object)) {}
  // A macro of the template, which outlives the render.
  explicit Value(const Statement* macro) : data_(macro) {}

  static Value UndefinedNamed(std::string hint);
  static Value TemplateText(std::string_view text) {
    return OriginText(std::string(text), Origin::kTemplate);
  }
  // Refused: too deep, or an item that can't be stored. A later entry of the same key wins, in the first
  // one's place.
  static absl::StatusOr<Value> MakeList(std::vector<Value> items);
  static absl::StatusOr<Value> MakeMap(Entries entries);
  static absl::StatusOr<Value> FromJson(const nlohmann::ordered_json& json, Origin origin);

  template <typename T>
  const T* As() const {
    return std::get_if<T>(&data_);
  }
  template <typename T>
  bool Is() const {
    return As<T>() != nullptr;
  }
  // The text, list or map, or null.
  const OriginText* AsText() const;
  const List* AsList() const;
  const Map* AsMap() const;
  // A bool, int or float as a number.
  bool IsNumber() const { return Is<bool>() || Is<int64_t>() || Is<double>(); }
  bool IsInteger() const { return Is<bool>() || Is<int64_t>(); }
  int64_t Integer() const;
  double Number() const;

  bool Truthy() const;
  bool Equals(const Value& other) const;
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

  std::variant<Undefined, None, bool, int64_t, double, TextRef, ListRef, MapRef, NamespaceRef, Function,
               const Statement*>
      data_;
};

struct List {
  std::vector<Value> items;
  int depth = 1;
  size_t weight = 1;
};

struct Map {
  Value::Entries entries;  // in insertion order
  absl::flat_hash_map<std::string, size_t> index;
  int depth = 1;
  size_t weight = 1;

  const Value* Find(const std::string& key) const;
};

struct Namespace {
  std::map<std::string, Value> values;
};

// What {{ value }} prints: Python's str().
OriginText Print(const Value& value);
// Python's repr() of a float: 1.0, 1e-05, 1e+16.
std::string PrintFloat(double value);
// json.dumps(value, ensure_ascii=False, indent=indent); a negative indent is None. Structure counts as user
// bytes.
absl::StatusOr<OriginText> ToJson(const Value& value, int indent);

}  // namespace quire::gateway::jinja
