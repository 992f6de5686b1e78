using System.Reflection;
using System.Runtime.InteropServices;
using Genfence.Native;

namespace Genfence.Tests;

public class PlatformTests
{
    [Fact]
    public void The_platforms_are_those_that_are_built()
    {
        var table = typeof(PlatformTests).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>()
            .Single(one => one.Key == "Targets").Value!;
        var built = File.ReadLines(table).Where(line => !line.StartsWith('#')).Select(line => line.Split(' ')[0]);
        Assert.Equal(built, Platforms.All);
    }

    [Theory]
    [InlineData("linux-x64", Architecture.X64, "linux-x64")]
    [InlineData("debian.12-x64", Architecture.X64, "linux-x64")]
    [InlineData("rhel.9-arm64", Architecture.Arm64, "linux-arm64")]
    [InlineData("alpine.3.20-arm64", Architecture.Arm64, "linux-musl-arm64")]
    [InlineData("linux-musl-x64", Architecture.X64, "linux-musl-x64")]
    [InlineData("win10-arm64", Architecture.Arm64, "win-arm64")]
    [InlineData("osx.14-arm64", Architecture.Arm64, "osx-arm64")]
    public void A_missing_library_names_the_platform_and_the_line_to_write(string rid, Architecture process, string near)
    {
        var said = Platforms.Missing(rid, process);
        Assert.Contains($"on {rid}:", said, StringComparison.Ordinal);
        Assert.Contains($"<RuntimeIdentifier>{near}</RuntimeIdentifier>", said, StringComparison.Ordinal);
    }

    [Fact]
    public void A_library_that_was_named_and_is_not_there_is_what_is_told_of()
    {
        var said = Platforms.Missing("linux-x64", Architecture.X64, "/opt/none.so");
        Assert.Contains("GENFENCE_NATIVE_PATH names /opt/none.so", said, StringComparison.Ordinal);
        Assert.DoesNotContain("<RuntimeIdentifier>", said, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("linux-arm", Architecture.Arm)]
    [InlineData("win-x86", Architecture.X86)]
    [InlineData("freebsd-x64", Architecture.X64)]
    public void A_platform_without_a_library_is_told_so(string rid, Architecture process)
    {
        var said = Platforms.Missing(rid, process);
        Assert.Contains($"on {rid}: the package has none for it", said, StringComparison.Ordinal);
        Assert.Contains("GENFENCE_NATIVE_PATH", said, StringComparison.Ordinal);
        Assert.DoesNotContain("<RuntimeIdentifier>", said, StringComparison.Ordinal);
    }
}
