using Microsoft.EntityFrameworkCore.Diagnostics;
using Microsoft.EntityFrameworkCore.Infrastructure;
using Microsoft.Extensions.DependencyInjection;

namespace Genfence.EntityFrameworkCore;

/// <summary>What <c>UseGenfence</c> adds to the options of a context.</summary>
internal sealed class GenfenceExtension(GenfenceCache cache, Action<FenceMap> map) : IDbContextOptionsExtension
{
    private DbContextOptionsExtensionInfo? _info;

    public GenfenceCache Cache { get; } = cache;

    public Action<FenceMap> Map { get; } = map;

    public DbContextOptionsExtensionInfo Info => _info ??= new ExtensionInfo(this);

    public void ApplyServices(IServiceCollection services)
    {
        // One for each context: what it knows of its saves and transactions is nobody else's.
        services.AddScoped<ContextFence>();
        services.AddScoped<IInterceptor, FenceInterceptor>();
        services.AddScoped<IResettableService>(services => services.GetRequiredService<ContextFence>());
    }

    public void Validate(IDbContextOptions options)
    {
        if (!options.Extensions.OfType<RelationalOptionsExtension>().Any())
        {
            throw new InvalidOperationException("UseGenfence: there is no relational database; say which one beside it, such as UseNpgsql");
        }
    }

    private sealed class ExtensionInfo(IDbContextOptionsExtension extension) : DbContextOptionsExtensionInfo(extension)
    {
        public override bool IsDatabaseProvider => false;

        public override string LogFragment => "using Genfence ";

        public override int GetServiceProviderHashCode() => 0;

        public override bool ShouldUseSameServiceProvider(DbContextOptionsExtensionInfo other) => other is ExtensionInfo;

        public override void PopulateDebugInfo(IDictionary<string, string> debugInfo) => debugInfo["Genfence"] = "1";
    }
}
