using System.ComponentModel;
using System.Reflection;
using System.Runtime.CompilerServices;

namespace Genfence;

/// <summary>What is asked of a type at each hit, in one place, which is looked for once then.</summary>
internal static class TypeOf<T>
{
    /// <summary>Of this process, from 0 on.</summary>
    public static readonly int Number = TypeNumbers.Next();

    /// <summary>
    /// Whether nobody can change a value: text, values without references, and what says so of itself and is sealed, as
    /// Microsoft's <c>HybridCache</c> has it.
    /// </summary>
    public static readonly bool IsImmutable =
        typeof(T) == typeof(string)
        || (typeof(T).IsValueType && !RuntimeHelpers.IsReferenceOrContainsReferences<T>())
        || ((typeof(T).IsSealed || typeof(T).IsValueType)
            && typeof(T).GetCustomAttribute<ImmutableObjectAttribute>() is { Immutable: true });
}

internal static class TypeNumbers
{
    private static int s_last = -1;

    public static int Next() => Interlocked.Increment(ref s_last);
}
