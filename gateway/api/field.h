// What a request may have, declared once: each field with its limits, and the shape of an object as the list
// of its fields. Parsers read by these declarations and by nothing else (field_reader.h); what is said of
// requests is made of the same lists, so that it can't differ. Constants without behaviour,
// in headers beside the readers; any thread. A null field is an absent one, everywhere.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <variant>

namespace quire::gateway {

struct DeclaredObject;

// Common to all below: `about` is Markdown for who reads the document; `absent` is the default as JSON, empty
// where there is none that could be said so.

struct NumberField {
  const char* name;
  double min, max;
  const char* about = "";
  const char* absent = "";
};

// 5.0 is an integer, 5.5 isn't.
struct IntegerField {
  const char* name;
  int64_t min, max;
  const char* about = "";
  const char* absent = "";
  bool required = false;
};

struct BoolField {
  const char* name;
  const char* about = "";
  const char* absent = "";
  const char* never = "";  // what is said where it is true, which this version can't honour
};

// Its reader may ask for more than the pattern.
struct StringField {
  const char* name;
  size_t max_bytes = SIZE_MAX;
  const char* about = "";
  bool filled = false;       // not the empty one
  const char* pattern = "";  // as JSON Schema has it; the reader's own check says the same
  const char* absent = "";
  bool required = false;
  bool or_empty = false;  // [] and {} are as good as absent
};

// One of some words, or an object of that shape.
struct ChoiceField {
  const char* name;
  std::span<const char* const> words;
  const char* advice;  // what is said where it is none of them
  const char* about = "";
  const char* absent = "";
  bool required = false;
  bool not_yet = false;   // "this server does not support it yet" goes before the advice
  size_t max_bytes = 64;  // of a word; what is longer is told so. 0: it is told the words, too
  const DeclaredObject* or_object = nullptr;
};

// A string or a list of strings, at which an answer ends.
struct StopsField {
  const char* name;
  size_t max_items, max_bytes;
  const char* about = "";
};

struct TokenIdsField {
  const char* name;
  size_t max_items = SIZE_MAX;
  const char* about = "";
  bool required = false;
};

struct ObjectField {
  const char* name;
  const DeclaredObject* shape;
  const char* about = "";
  const char* advice = "give an object";
  bool or_empty = false;  // {} is as good as absent
  bool required = false;
};

// A list of objects, all of one shape.
struct ListField {
  const char* name;
  const DeclaredObject* item;
  const char* item_advice;  // what is said of one that is no object
  const char* nouns = "";   // "messages": as `advice` is made without one
  size_t min_items = 0, max_items = SIZE_MAX;
  const char* about = "";
  const char* advice = "";
  bool or_empty = false;  // "" and {} are as good as absent
  bool or_string = false;
  bool required = false;
};

// What none of these says: a shape of its own, as JSON Schema (an object as JSON), beside the reader that
// checks it.
struct ShapeField {
  const char* name;
  const char* schema;
  const char* about = "";
  const char* absent = "";
  bool required = false;
};

// What this version can't honour and what would change the answer: refused but for values that ask for what
// happens anyway.
struct RefusedField {
  const char* name;
  const char* advice = "leave it out";
  const char* accepted = R"(["",[],{}])";  // a list as JSON, beside null
  bool not_yet = true;                     // "this server does not support it yet" goes before the advice
};

// One of these.
struct AnyField {
  template <typename T>
  constexpr AnyField(const T& declared) : field(&declared), address(&declared) {}  // NOLINT: a list of them

  std::variant<const NumberField*, const IntegerField*, const BoolField*, const StringField*,
               const ChoiceField*, const StopsField*, const TokenIdsField*, const ObjectField*,
               const ListField*, const ShapeField*, const RefusedField*>
      field;
  const void* address;
};

// Fields that are looked at where another one says these words only.
struct ShapeVariant {
  std::span<const char* const> words;
  std::span<const AnyField> fields = {};
  const char* rule = "";  // a JSON schema that holds beside them; a title makes it read well
};

struct DeclaredObject {
  const char* name;  // of its schema in the document
  std::span<const AnyField> fields;
  // JSON schemas that hold beside the fields: what goes across several.
  std::span<const char* const> rules = {};
  // Of what `by` says; of fields in none of them all are looked at always.
  const ChoiceField* by = nullptr;
  std::span<const ShapeVariant> variants = {};
  const char* example = "";  // JSON, taken as it stands
  const char* about = "";

  constexpr bool Declares(const void* field) const {
    for (const AnyField& declared : fields) {
      if (declared.address == field) return true;
    }
    return false;
  }
};

// The list of a table of fields of one kind.
template <typename T, size_t n>
constexpr std::array<AnyField, n> ListOf(const T (&table)[n]) {
  return [&]<size_t... i>(std::index_sequence<i...>) {
    return std::array<AnyField, n>{AnyField(table[i])...};
  }
  (std::make_index_sequence<n>());
}

// Lists behind one another.
template <size_t a, size_t b, typename... More>
constexpr auto JoinLists(const std::array<AnyField, a>& first, const std::array<AnyField, b>& second,
                         const More&... more) {
  const auto joined = [&]<size_t... i, size_t... j>(std::index_sequence<i...>, std::index_sequence<j...>) {
    return std::array<AnyField, a + b>{first[i]..., second[j]...};
  }
  (std::make_index_sequence<a>(), std::make_index_sequence<b>());
  if constexpr (sizeof...(more) == 0) {
    return joined;
  } else {
    return JoinLists(joined, more...);
  }
}

}  // namespace quire::gateway
