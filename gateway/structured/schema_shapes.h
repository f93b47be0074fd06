// From a JSON schema (draft 2020-12, and what older drafts' clients still write) to the shapes that a value
// may have: references followed, allOf and siblings merged, anyOf and oneOf spread out. Always: every value
// of a shape is valid by the schema; where that can't be had, the keyword and its place are said as the
// problem, unless the caller takes what is looser. A value that is valid may have no shape where its author
// hardly meant it: a property that isn't declared beside those that are. Bounded in work. Not thread-safe;
// lives for one schema, which outlives it; after the first problem every call returns nothing.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "gateway/structured/shape.h"
#include "gateway/structured/string_automaton.h"

namespace quire::gateway {

struct SchemaProblem {
  std::string path;  // of the keyword, "properties.name.pattern"; "" for the schema itself
  std::string message;
  bool too_large = false;  // not wrong, but more than a grammar can be made of
};

class SchemaShapes {
 public:
  // `loose`: what can't be held to is let be.
  SchemaShapes(const nlohmann::ordered_json& root, bool loose) : root_(root), loose_(loose) {}

  // None: no value is valid.
  Shapes Of(const Subschemas& all);
  bool Takes(const Subschemas& all, const nlohmann::ordered_json& value);

  // Of a pattern of the schema's, made once.
  const absl::StatusOr<StringAutomaton>& Automaton(const std::string& pattern);

  bool failed() const { return problem_.has_value(); }
  const std::optional<SchemaProblem>& problem() const { return problem_; }
  void Fail(std::string path, std::string message);
  void FailForSize();
  // Only where looser isn't good enough.
  void FailUnlessLoose(std::string path, std::string message);

 private:
  class Entered;

  // Counts steps; false: it failed, or there were too many.
  bool MayWork(size_t steps = 1);
  // Of what stands within `sub`.
  static std::string PathOf(const Subschema& sub, const std::string& keyword);
  Shapes Read(const Subschema& sub);
  Shapes ReadObject(const Subschema& sub);
  void RefuseUnsupported(const Subschema& sub);
  // schema_keywords.cc: by type, and by the keywords of types.
  Shapes Typed(const Subschema& sub);
  bool HasType(const Subschema& sub, const std::string& type);
  Shapes Literals(const Subschema& sub);
  std::optional<NumberShape> ReadNumber(const Subschema& sub, bool integer);
  std::optional<NumberBound> ReadBound(const Subschema& sub, const char* keyword, bool exclusive);
  void ReadMultiple(const Subschema& sub, NumberShape& shape);
  StringShape ReadString(const Subschema& sub);
  ArrayShape ReadArray(const Subschema& sub);
  ObjectShape ReadProperties(const Subschema& sub);
  void ReadOthers(const Subschema& sub, ObjectShape& shape);
  void ReadRequired(const Subschema& sub, ObjectShape& shape);
  std::optional<uint64_t> Count(const Subschema& sub, const char* keyword);
  const nlohmann::ordered_json* Object(const Subschema& sub, const char* keyword);
  // schema_shapes.cc: of whole schemas.
  Shapes Referred(const Subschema& sub);
  Shapes AnyOf(const Subschema& sub, const char* keyword);
  Shapes OneOf(const Subschema& sub);
  Shapes Dependent(const Subschema& sub, Shapes shapes);
  void AskFor(const nlohmann::ordered_json& names, const std::string& path, ObjectShape& with);
  std::vector<Subschema> List(const Subschema& sub, const char* keyword);
  // shape_merge.cc: what both let be.
  Shapes Both(const Shapes& a, const Shapes& b);
  std::optional<Shape> Merge(const Shape& a, const Shape& b);
  NumberShape MergeNumbers(const NumberShape& a, const NumberShape& b);
  std::optional<Shape> MergeObjects(const ObjectShape& a, const ObjectShape& b);
  void MergePatterns(const ObjectShape& a, const ObjectShape& b, ObjectShape& both);
  std::optional<Shape> MergeStrings(const StringShape& a, const StringShape& b);
  // As the other shape lets a property come that it doesn't declare.
  void Undeclared(const ObjectShape& in, ObjectShape::Property& property);
  bool Fits(const nlohmann::ordered_json& value, const Shape& shape);
  bool FitsObject(const nlohmann::ordered_json& value, const ObjectShape& shape);
  bool FitsArray(const nlohmann::ordered_json& value, const ArrayShape& shape);
  bool FitsString(const std::string& value, const StringShape& shape);
  bool FitsPattern(const std::string& pattern, const std::string& text);
  // Of two schemas, each as it is and as it is to be: whether no value fits both; may make a property
  // required, or forbid one, that tells two objects apart.
  struct Branch {
    const Shapes& is;
    Shapes& shall_be;
  };
  bool TellApart(Branch a, Branch b);
  struct ObjectBranch {
    const ObjectShape& is;
    ObjectShape& shall_be;
  };
  bool TellObjectsApart(ObjectBranch a, ObjectBranch b);

  const nlohmann::ordered_json& root_;
  const bool loose_;
  std::optional<SchemaProblem> problem_;
  std::map<std::string, absl::StatusOr<StringAutomaton>> automata_;  // by pattern
  int depth_ = 0;                                                    // of schemas that are being read
  int64_t steps_ = 0;     // schemas read, shapes and properties merged
  int64_t narrowed_ = 0;  // schemas without a type that were given one
};

}  // namespace quire::gateway
