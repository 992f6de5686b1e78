using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text.RegularExpressions;
using Genfence.Native;

namespace Genfence.Tests;

public partial class BoundaryTests
{
    /// <summary>What the header has and this side does without, and why.</summary>
    private static readonly string[] s_unbound =
    [
        // The synchronous calls: everything is started or submitted.
        "gf_get", "gf_heard", "gf_lookup", "gf_fill", "gf_reserve", "gf_commit", "gf_release", "gf_abort", "gf_beat", "gf_renew", "gf_set",
        "gf_replace", "gf_invalidate", "gf_touch", "gf_diagnose", "gf_lookup_many", "gf_load", "gf_loaded",
        "gf_load_failed", "gf_ready", "gf_inspect", "gf_settled", "gf_refresh", "gf_last_known", "gf_reserve_settled",
        "gf_reserve_tag", "gf_reserve_tag_settled", "gf_purge_tags", "gf_purge_all",
        // Each key of a transaction has a reservation of its own.
        "gf_reserve_many", "gf_reserve_more", "gf_commit_many",
        // Results are freed one by one, as they are handed over.
        "gf_results_free",
        // For event loops.
        "gf_queue_fd",
        "gf_queue_event",
    ];

    [Fact]
    public void A_field_that_moved_is_noticed()
    {
        var native = Numbers();
        Assert.Equal(native, Layout.Here);
    }

    [Fact]
    public void An_entry_point_that_the_library_lacks_is_noticed()
    {
        Assert.NotEmpty(Bound());
        var library = Library();
        foreach (var name in Bound())
        {
            Assert.True(NativeLibrary.TryGetExport(library, name, out _), name);
        }
    }

    [Fact]
    public void A_function_of_the_header_that_nobody_thought_of_is_noticed()
    {
        var header = File.ReadAllText(Support.Metadata("Header"));
        var declared = Declaration().Matches(header).Select(match => match.Groups[2].Value).ToHashSet();
        Assert.Equal(declared.Order(), Bound().Concat(s_unbound).Order());
    }

    [Fact]
    public void A_parameter_that_changed_is_noticed()
    {
        var header = File.ReadAllText(Support.Metadata("Header"));
        var declared = Declaration().Matches(header).ToDictionary(
            match => match.Groups[2].Value,
            match => (Kind(match.Groups[1].Value), string.Join(' ', match.Groups[3].Value.Split(',').Select(Kind))));
        foreach (var method in Entries())
        {
            var parameters = method.GetParameters().Select(parameter => Kind(parameter.ParameterType)).DefaultIfEmpty("void");
            Assert.Equal(
                (method.Name, declared[method.Name]),
                (method.Name, (Kind(method.ReturnType), string.Join(' ', parameters))));
        }
    }

    [Fact]
    public void A_library_of_another_interface_is_noticed()
    {
        var header = File.ReadAllText(Support.Metadata("Header"));
        Assert.Contains($"#define GF_ABI_MAJOR {Methods.AbiMajor}\n", header, StringComparison.Ordinal);
        Assert.Equal(Methods.AbiMajor, Methods.gf_abi_version() >> 16);
    }

    [Theory]
    [InlineData("GF_OP_", typeof(Op))]
    [InlineData("GF_BYPASS_", typeof(BypassReason))]
    [InlineData("GF_REFUSED_", typeof(FillRefusal))]
    public void A_number_that_means_something_else_is_noticed(string prefix, Type enumeration)
    {
        var header = File.ReadAllText(Support.Metadata("Header"));
        var declared = Regex.Matches(header, $@"#define {prefix}(\w+) (\d+)")
            .ToDictionary(match => match.Groups[1].Value, match => int.Parse(match.Groups[2].Value, null));
        var ours = Enum.GetValues(enumeration).Cast<object>()
            .ToDictionary(value => InCapitals(value.ToString()!), value => Convert.ToInt32(value, null));
        ours.Remove("NONE");
        Assert.Equal(declared.OrderBy(pair => pair.Value), ours.OrderBy(pair => pair.Value));
    }

    [Fact]
    public void A_status_that_means_something_else_is_noticed()
    {
        var header = File.ReadAllText(Support.Metadata("Header"));
        foreach (var field in typeof(Status).GetFields())
        {
            var value = (int)field.GetRawConstantValue()!;
            Assert.Contains($"#define {(value < 0 ? "GF_E_" : "GF_")}{InCapitals(field.Name)} {value}\n", header, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void A_status_that_this_package_does_not_know_throws()
    {
        Assert.Equal(SetOutcome.Busy, Results.Outcome<SetOutcome>(Status.Busy));
        foreach (var unknown in new[] { 99, Status.Purged, Status.Done, -99 })
        {
            var thrown = Assert.Throws<GenfenceException>(() => Results.Outcome<SetOutcome>(unknown));
            Assert.Contains($"status {unknown}", thrown.Message, StringComparison.Ordinal);
        }
    }

    private static string InCapitals(string name) =>
        Regex.Replace(name, "(?<=[a-z])(?=[A-Z])", "_").ToUpperInvariant();

    private static nint Library() =>
        NativeLibrary.Load(
            Environment.GetEnvironmentVariable("GENFENCE_NATIVE_PATH")
            ?? throw new InvalidOperationException("run these tests through tests/run, which names the library"));

    private static unsafe List<nuint> Numbers()
    {
        var layout = (delegate* unmanaged<nuint*, nuint, nuint>)NativeLibrary.GetExport(Library(), "gf_test_layout");
        var numbers = new nuint[layout(null, 0)];
        fixed (nuint* first = numbers)
        {
            _ = layout(first, (nuint)numbers.Length);
        }
        return [.. numbers];
    }

    /// <summary>The size of a struct, its alignment, and the offsets of its fields.</summary>
    internal static IEnumerable<nuint> Measure<T>(params string[] fields) where T : unmanaged =>
    [
        (nuint)Unsafe.SizeOf<T>(),
        (nuint)Unsafe.SizeOf<Aligned<T>>() - (nuint)Unsafe.SizeOf<T>(),
        .. fields.Select(field => (nuint)Marshal.OffsetOf<T>(field)),
    ];

    private static IEnumerable<string> Bound() => Entries().Select(method => method.Name);

    private static IEnumerable<MethodInfo> Entries() =>
        typeof(Methods).GetMethods(BindingFlags.Static | BindingFlags.Public)
            .Where(method => method.Name.StartsWith("gf_", StringComparison.Ordinal));

    /// <summary>How what is declared in C travels: a pointer is as good as another.</summary>
    private static string Kind(string declared) =>
        declared.Contains('*', StringComparison.Ordinal) || declared.Contains("gf_log_fn", StringComparison.Ordinal)
            ? "pointer"
            : declared.Trim().Split(' ')[0];

    private static string Kind(Type type) =>
        type.IsPointer || type.IsFunctionPointer || type == typeof(nint) || type.IsSubclassOf(typeof(SafeHandle))
            ? "pointer"
            : type switch
            {
                _ when type == typeof(void) => "void",
                _ when type == typeof(int) => "int32_t",
                _ when type == typeof(uint) => "uint32_t",
                _ when type == typeof(long) => "int64_t",
                _ when type == typeof(ulong) => "uint64_t",
                _ when type == typeof(nuint) => "size_t",
                _ when type == typeof(NativeSlice) || type == typeof(NativeEntry) => "struct",
                _ => type.Name,
            };

    [GeneratedRegex(@"^(\w[\w \*]*?\b\*?)(gf_\w+)\(([^;]*)\);", RegexOptions.Multiline)]
    private static partial Regex Declaration();

#pragma warning disable CS0169, CS0649, CA1823, IDE0051
    private struct Aligned<T> where T : unmanaged
    {
        private byte _before;
        private T _value;
    }
#pragma warning restore
}
