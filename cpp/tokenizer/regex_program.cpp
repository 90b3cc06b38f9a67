#include "tokenizer/regex_program.h"

#include <algorithm>
#include <string>

namespace textmill::tokenizer {
namespace {

constexpr size_t kMaxInstructions = 5'000;
constexpr size_t kMaxAlternatives = 1'000;
constexpr size_t kMaxSets = 250;

// Emits from the end to the beginning: a node is given the instruction that follows it and returns its first one.
class Compiler {
  public:
    explicit Compiler(Program& program) : program_(program) {}

    uint32_t emit(const Instruction& instruction) {
        if (program_.instructions.size() == kMaxInstructions) {
            throw RegexError("a regex of more than " + std::to_string(kMaxInstructions) +
                             " instructions; its quantifiers are too large");
        }
        program_.instructions.push_back(instruction);
        return static_cast<uint32_t>(program_.instructions.size() - 1);
    }

    uint32_t emit(const Node& node, uint32_t next) {
        switch (node.kind) {
            case NodeKind::kEmpty:
                return next;
            case NodeKind::kSet:
                return emit({Operation::kSet, false, index_of(node.ranges), next});
            case NodeKind::kLookahead:
                return emit({Operation::kLookahead, node.at_end, index_of(node.ranges), next});
            case NodeKind::kSequence:
                for (size_t i = node.children.size(); i-- > 0;) {
                    next = emit(node.children[i], next);
                }
                return next;
            case NodeKind::kAlternation:
                return emit_alternation(node, next);
            case NodeKind::kRepeat:
                return emit_repeat(node, next);
        }
        return next;
    }

  private:
    uint32_t emit_alternation(const Node& node, uint32_t next) {
        uint32_t first = emit(node.children.back(), next);
        for (size_t i = node.children.size() - 1; i-- > 0;) {
            const uint32_t preferred = emit(node.children[i], next);
            first = emit({Operation::kSplit, false, first, preferred});
        }
        return first;
    }

    uint32_t emit_repeat(const Node& node, uint32_t next) {
        const Node& body = node.children[0];
        uint32_t first = next;
        if (node.most == kUnbounded) {
            const uint32_t loop = emit_choice(node.is_lazy, next, next);
            const uint32_t begin = emit(body, loop);
            Instruction& choice = program_.instructions[loop];
            (node.is_lazy ? choice.argument : choice.next) = begin;
            first = loop;
        } else {
            for (uint32_t i = node.least; i < node.most; ++i) {
                first = emit_choice(node.is_lazy, emit(body, first), next);
            }
        }
        for (uint32_t i = 0; i < node.least; ++i) {
            first = emit(body, first);
        }
        return first;
    }

    uint32_t emit_choice(bool is_lazy, uint32_t body, uint32_t exit) {
        return is_lazy ? emit({Operation::kSplit, false, body, exit}) : emit({Operation::kSplit, false, exit, body});
    }

    uint32_t index_of(const std::vector<CodePointRange>& ranges) {
        const auto found = std::find(program_.sets.begin(), program_.sets.end(), ranges);
        if (found == program_.sets.end()) {
            if (program_.sets.size() == kMaxSets) {
                throw RegexError("a regex of more than " + std::to_string(kMaxSets) + " different classes");
            }
            program_.sets.push_back(ranges);
            return static_cast<uint32_t>(program_.sets.size() - 1);
        }
        return static_cast<uint32_t>(found - program_.sets.begin());
    }

    Program& program_;
};

}  // namespace

Program compile_regex(std::string_view regex) {
    const std::vector<Node> alternatives = parse_regex(regex);
    if (alternatives.size() > kMaxAlternatives) {
        throw RegexError(std::to_string(alternatives.size()) + " alternatives, and the most are " +
                         std::to_string(kMaxAlternatives));
    }
    Program program;
    program.num_alternatives = static_cast<uint16_t>(alternatives.size());
    Compiler compiler(program);
    for (size_t i = alternatives.size(); i-- > 0;) {
        const uint32_t match = compiler.emit({Operation::kMatch, false, static_cast<uint32_t>(i), 0});
        const uint32_t first = compiler.emit(alternatives[i], match);
        const bool is_last = i + 1 == alternatives.size();
        program.start = is_last ? first : compiler.emit({Operation::kSplit, false, program.start, first});
    }
    return program;
}

}  // namespace textmill::tokenizer
