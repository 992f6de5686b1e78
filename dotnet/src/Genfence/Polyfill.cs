#if !NET9_0_OR_GREATER
namespace System.Runtime.CompilerServices;

/// <summary>The compiler goes by its name; .NET 8 does not have it.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class OverloadResolutionPriorityAttribute(int priority) : Attribute
{
    public int Priority { get; } = priority;
}
#endif
